"""The measures on the test rows as lines of a terminal, with their 95 % intervals."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from thalweg.evaluate.result import Gain, Measure, Result, Threshold
from thalweg.show.lines import hang, styled
from thalweg.show.text import clean, measure, number, plural, shorten, title

INDENT = 10
NAME = 24  # characters of a label's or target's name
TABLE_ROWS = 20  # of labels or targets


def result_lines(result: Result, seal: dict[str, Any], *, width: int) -> list[Text]:
    """One line per measure, the threshold, and how often the seal was opened."""
    names = max((len(title(m.name)) for m in result.measures), default=0)
    values = max((len(measure(m.name, m.value)) for m in result.measures), default=0)
    wide = width >= INDENT + names + values + 24
    header = plural(result.count, "row").ljust(names + values + 4) + ("95 % interval" if wide else "")
    lines = [Text(), *labeled("test", styled((header.rstrip(), "dim")), width=width)]
    for each in result.measures:
        lines += measure_lines(each, names=names, values=values, wide=wide, width=width)
    for heading, table in (("labels", label_table(result)), ("targets", target_table(result))):
        lines += table_lines(heading, table, width=width)
    if result.gain:
        lines += labeled("views", styled(gain_text(result.gain)), width=width)
    if result.threshold:
        lines += labeled("cut", styled(threshold_text(result.threshold, result.classes, result.kind)), width=width)
    if seal:
        lines += labeled("seal", styled(seal_text(seal)), width=width)
    return lines


def label_table(result: Result) -> list[list[str]]:
    """Each label of a multi-label task, after a header."""
    if result.kind != "multilabel":
        return []
    rows = [
        [row.name, number(row.support), *(number(m.value, 3) for m in (row.precision, row.recall, row.f1)),
         number(row.auc.value if row.auc else None, 3)]
        for row in result.per_class
    ]  # fmt: skip
    return [["", "rows", "precision", "recall", "F1", "AUC"], *rows]


def target_table(result: Result) -> list[list[str]]:
    """Each target of a regression with several, after a header."""
    rows = [[row.name, *(number(m.value) for m in (row.r2, row.rmse, row.mae))] for row in result.per_target]
    return [["", "R²", "RMSE", "MAE"], *rows] if rows else []


def table_lines(heading: str, table: list[list[str]], *, width: int) -> list[Text]:
    """A table in aligned columns, its first rows where it is long."""
    if not table:
        return []
    shown = [[clean(shorten(cells[0], NAME)), *cells[1:]] for cells in table[: TABLE_ROWS + 1]]
    widths = [max(len(cells[k]) for cells in shown) for k in range(len(shown[0]))]
    lines: list[Text] = []
    for k, cells in enumerate(shown):
        text = "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])
        lines += labeled("" if k else heading, styled((text, "dim") if k == 0 else text), width=width)
    if len(table) > len(shown):
        lines += labeled("", styled((f"and {len(table) - len(shown):,} more", "dim")), width=width)
    return lines


def measure_lines(each: Measure, *, names: int, values: int, wide: bool, width: int) -> list[Text]:
    name, value = title(each.name), measure(each.name, each.value)
    text = styled(name.ljust(names), "  ", (value.rjust(values), "bold" if each.value == each.value else "red"))
    if wide:
        text.append("  ").append_text(styled(interval(each)))
    lines = labeled("", text, width=width)
    if not wide and interval(each):
        lines += labeled("", styled(f"  {interval(each)}"), width=width)
    return lines + (hang(Text(" " * (INDENT + 2)), styled((each.note, "dim")), width=width) if each.note else [])


def interval(each: Measure) -> str:
    """`96.78 % to 99.41 %`, or nothing."""
    if each.low is None or each.high is None:
        return ""
    return f"{measure(each.name, each.low)} to {measure(each.name, each.high)}"


def gain_text(gain: Gain) -> str:
    """
    >>> gain_text(Gain(4, "HorizontalFlip()", (Measure("log_loss", -0.02, -0.03, -0.01),)))
    '4 of each row by HorizontalFlip(); log loss -0.02 (-0.03 to -0.01) against the row alone'
    """
    told = [f"{m.name.replace('_', ' ')} {m.value:+.3g}{between(m)}" for m in gain.measures]
    return f"{gain.views} of each row by {gain.augmentation}; {', '.join(told)} against the row alone"


def between(measured: Measure) -> str:
    return "" if measured.low is None else f" ({measured.low:+.3g} to {measured.high:+.3g})"


def threshold_text(threshold: Threshold, classes: Sequence[str] = (), kind: str = "binary") -> str:
    """
    >>> threshold_text(Threshold(0.0, "logits", "validation", "f1", count=288), ("no", "yes"))
    'yes above probability 0.5000, chosen on 288 validation rows for F1'
    """
    positive = classes[1] if len(classes) == 2 and not classes[1].isdecimal() else "class 1"
    if kind == "multilabel":
        positive = "each label"
    where = {"validation": f"chosen on {plural(threshold.count, 'validation row')} for {title(threshold.objective)}"}
    source = where.get(threshold.chosen_on, threshold.chosen_on)
    note = f"; {threshold.note}" if threshold.note else ""
    return f"{positive} above probability {number(threshold.probability)}, {source}{note}"


def seal_text(seal: dict[str, Any]) -> str:
    """How often the test rows were opened; each further look makes the measures a little less honest.

    >>> seal_text({"openings": 1})
    'opened 1 time: these measures were not chosen by looking at them'
    """
    openings = int(seal.get("openings", 0))
    told = "these measures were not chosen by looking at them"
    if openings > 1:
        told = "who looks often and chooses by it, flatters the measures"
    return f"opened {plural(openings, 'time')}: {told}"


def labeled(label: str, body: Text, *, width: int) -> list[Text]:
    return hang(Text(f"  {label}".ljust(INDENT), "bold"), body, width=width)

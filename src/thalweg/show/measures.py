"""The measures on the test rows as lines of a terminal, with their 95 % intervals."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from thalweg.evaluate.result import Measure, Result, Threshold
from thalweg.show.lines import hang, styled
from thalweg.show.text import measure, number, plural, title

INDENT = 10


def result_lines(result: Result, seal: dict[str, Any], *, width: int) -> list[Text]:
    """One line per measure, the threshold, and how often the seal was opened."""
    names = max((len(title(m.name)) for m in result.measures), default=0)
    values = max((len(measure(m.name, m.value)) for m in result.measures), default=0)
    wide = width >= INDENT + names + values + 24
    header = plural(result.count, "row").ljust(names + values + 4) + ("95 % interval" if wide else "")
    lines = [Text(), *labeled("test", styled((header.rstrip(), "dim")), width=width)]
    for each in result.measures:
        lines += measure_lines(each, names=names, values=values, wide=wide, width=width)
    if result.threshold:
        lines += labeled("cut", styled(threshold_text(result.threshold, result.classes)), width=width)
    if seal:
        lines += labeled("seal", styled(seal_text(seal)), width=width)
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


def threshold_text(threshold: Threshold, classes: Sequence[str] = ()) -> str:
    """
    >>> threshold_text(Threshold(0.0, "logits", "validation", "f1", count=288), ("no", "yes"))
    'yes above probability 0.5000, chosen on 288 validation rows for F1'
    """
    positive = classes[1] if len(classes) == 2 and not classes[1].isdecimal() else "class 1"
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

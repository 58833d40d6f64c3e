"""The measures on the sealed test rows: the table with intervals, the curves, the confusion, and the classes."""

import math
from collections.abc import Sequence
from typing import Any

from thalweg.evaluate.result import Curve, Measure, Result
from thalweg.show.charts import Interval, Series, confusion_matrix, interval_plot, xy_chart
from thalweg.show.measures import gain_text, interval, seal_text, threshold_text
from thalweg.show.report.html import Child, Html, card, element, section, table
from thalweg.show.report.story import Story
from thalweg.show.text import measure, number, plural, title

SHARES = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "auc", "average_precision", "r2"),
    *("micro_f1", "macro_f1", "subset_accuracy", "label_accuracy", "macro_average_precision", "macro_auc"),
)
SEVERAL = 12  # curves of classes in one chart
CURVES = {  # heading, and whether the diagonal says something
    "roc": ("ROC", True),
    "precision_recall": ("Precision and recall", False),
    "reliability": ("Reliability", True),
    "predicted": ("Predicted and true values", True),
}


def measures_section(story: Story) -> Html:
    """What the evaluation found; before it, that the test rows are still sealed."""
    result = story.result
    if result is None:
        told = card("", element("p", nothing_measured(story)))
        return section("measures", "Measures", element("div", told, fit_card(story), cls="grid"))
    heading = f"Measures on {plural(result.count, 'test row')}"
    return section("measures", heading, result_cards(result, story.fact("seal"), fit_card(story)))


def result_cards(result: Result, seal: dict[str, Any], fit: Html | None = None) -> Html:
    """The measures, what they are made of, and their curves; `fit` stands beside the confusion."""
    named = [[c for c in result.curves if c.name == name] for name in dict.fromkeys(c.name for c in result.curves)]
    # Targets have units of their own, and hence each a square of its own.
    squares = [
        part for curves in named for part in ([[c] for c in curves] if curves[0].name == "predicted" else [curves])
    ]
    curves = [curve_card(square) for square in squares]
    cards = [measure_card(result, seal), fit, confusion_card(result), *curves, class_card(result), target_card(result)]
    return element("div", *(c for c in cards if c), cls="grid")


def nothing_measured(story: Story) -> str:
    seal = story.fact("seal")
    if not seal:
        return "There are no test rows; the validation measures were used to choose, and flatter."
    if int(seal.get("openings", 0)) == 0:
        return "The test rows are still sealed: nothing was measured on them."
    return "This run was not measured on the test rows; the seal was opened for others."


def measure_card(result: Result, seal: dict[str, Any]) -> Html:
    """The measures in a table, and the shares among them on one axis; a seal that was opened is told."""
    rows = [measure_row(m) for m in result.measures]
    notes: list[Child] = []
    if result.threshold:
        told = threshold_text(result.threshold, result.classes, result.kind)
        notes.append(element("p", f"Threshold: {told}.", cls="dim"))
    if result.gain:
        notes.append(element("p", f"Views: {gain_text(result.gain)}.", cls="dim"))
    if seal:
        notes.append(element("p", f"Test set {seal_text(seal)}.", cls="dim"))
    whole = table(["measure", "value", "95 % interval", "method"], rows)
    return card("", element("div", whole, intervals(result), cls="split"), *notes, cls="wide")


def measure_row(each: Measure) -> list[Child]:
    note = element("small", each.note, cls="dim block") if each.note else None
    name = element("span", title(each.name), note)
    value = element("b", measure(each.name, each.value), cls="" if each.value == each.value else "bad")
    return [
        name,
        value,
        element("span", interval(each) or "–", cls="nowrap"),
        element("span", each.method, cls="dim nowrap"),
    ]


def fit_card(story: Story) -> Html | None:
    """The kept weights on each part of the data: what over- and underfitting show in."""
    fit = story.readings
    names = [r.name.removeprefix("fit.train_") for r in fit if r.name.startswith("fit.train_")]
    tested = {m.name: m.value for m in story.result.measures} if story.result else {}
    rows: list[list[Child]] = [
        [
            title(name),
            measure(name, fit.value(f"fit.train_{name}")),
            measure(name, fit.value(f"fit.validation_{name}")),
            *([measure(name, tested.get(name))] if tested else []),
        ]
        for name in dict.fromkeys(names)
    ]
    header = ["", "training", "validation", *(["test"] if tested else [])]
    return card("The kept weights on each part", table(header, rows)) if rows else None


def intervals(result: Result) -> Html | None:
    """The shares with their intervals on one axis; measures in other units stand in the table alone."""
    rows = [Interval(title(m.name), m.value, m.low, m.high, measure(m.name, m.value))
            for m in result.measures if m.name in SHARES and math.isfinite(m.value)]  # fmt: skip
    if not rows:
        return None
    chart = interval_plot(rows, title="Measures with their 95 % intervals", limits=(0, 1))
    return element("div", Html(chart))


def curve_card(curves: Sequence[Curve]) -> Html:
    """Curves of one name in one square: a class or a label each, or one target."""
    name = curves[0].name
    heading, diagonal = CURVES.get(name, (name.replace("_", " "), False))
    points = name in ("predicted", "reliability")
    series = [
        Series(c.label or c.y_label, c.x, c.y, c.low, c.high, look="points" if points else "line")
        for c in curves[:SEVERAL]
    ]
    unit = None if name == "predicted" else (0.0, 1.0)
    heading += f": {curves[0].label}" if name == "predicted" and curves[0].label else ""
    chart = xy_chart(
        series, title=heading, x_label=curves[0].x_label, y_label=curves[0].y_label, x_range=unit, y_range=unit,
        diagonal=diagonal,
    )  # fmt: skip
    more = f"the first {SEVERAL} of {len(curves)}" if len(curves) > SEVERAL else ""
    return card(heading, Html(chart), note=more)


def confusion_card(result: Result) -> Html | None:
    """Which class is taken for which."""
    if not result.confusion:
        return None
    return card("Confusion", Html(confusion_matrix(result.confusion, result.classes, title="Confusion matrix")))


def class_card(result: Result) -> Html | None:
    """Precision, recall and F1 of each class against the rest."""
    if not result.per_class:
        return None
    header = ["class", "rows", "precision", "recall", "95 % interval of recall", "F1"]
    if result.kind == "multilabel":
        return label_card(result)
    rows: list[list[Child]] = [
        [
            row.name,
            number(row.support),
            number(row.precision.value, 3),
            number(row.recall.value, 3),
            element("span", interval(row.recall), cls="nowrap"),
            number(row.f1.value, 3),
        ]
        for row in result.per_class
    ]
    return card("Classes", table(header, rows), note="each against the rest", cls="wide")


def label_card(result: Result) -> Html:
    """The measures of each label with their intervals; what is undefined says why on hovering."""
    header = ["label", "rows", "precision", "recall", "F1", "average precision", "AUC"]
    rows: list[list[Child]] = [
        [
            row.name,
            number(row.support),
            *(cell(m) for m in (row.precision, row.recall, row.f1, row.average_precision, row.auc)),
        ]
        for row in result.per_class
    ]
    return card("Labels", table(header, rows), note="with 95 % intervals", cls="wide")


def target_card(result: Result) -> Html | None:
    """The measures of each target of a regression with several."""
    if not result.per_target:
        return None
    rows: list[list[Child]] = [[row.name, cell(row.r2), cell(row.rmse), cell(row.mae)] for row in result.per_target]
    note = "in the unit of each target, with 95 % intervals"
    return card("Targets", table(["target", "R²", "RMSE", "MAE"], rows), note=note, cls="wide")


def cell(each: Measure | None) -> Child:
    """A measure in a cell of a table: the value, and its interval below."""
    if each is None:
        return None
    note = {"title": each.note} if each.note else {}
    value = element("b", number(each.value, 3), cls="" if each.value == each.value else "bad", attributes=note)
    limits = "" if each.low is None or each.high is None else f"{number(each.low, 3)} to {number(each.high, 3)}"
    return element("span", value, element("small", limits, cls="dim block nowrap") if limits else None)

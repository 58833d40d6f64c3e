"""The measures on the sealed test rows: the table with intervals, the curves, the confusion, and the classes."""

from thalweg.evaluate.result import Measure, Result
from thalweg.show.measures import interval, seal_text, threshold_text
from thalweg.show.report.html import Child, Html, card, element, section, table
from thalweg.show.report.story import Story
from thalweg.show.text import measure, number, plural, title


def measures_section(story: Story) -> Html:
    """What the evaluation found; before it, that the test rows are still sealed."""
    result = story.result
    if result is None:
        sealed = story.fact("seal")
        text = "The test rows are still sealed: nothing was measured on them."
        text = text if sealed else "There are no test rows; the validation measures above were used to choose."
        return section("measures", "Measures", element("div", element("p", text), cls="card"))
    cards = [measure_card(result, story), confusion_card(result), class_card(result)]
    heading = f"Measures on {plural(result.count, 'test row')}"
    return section("measures", heading, element("div", *(c for c in cards if c), cls="grid"))


def measure_card(result: Result, story: Story) -> Html:
    rows = [measure_row(m) for m in result.measures]
    notes: list[Child] = []
    if result.threshold:
        notes.append(element("p", threshold_text(result.threshold).capitalize() + ".", cls="dim"))
    if story.fact("seal"):
        notes.append(element("p", f"Test set {seal_text(story.fact('seal'))}.", cls="dim"))
    return card("", table(["measure", "value", "95 % interval", "method"], rows), *notes, cls="wide")


def measure_row(each: Measure) -> list[Child]:
    note = element("small", each.note, cls="dim block") if each.note else None
    name = element("span", title(each.name), note)
    value = element("b", measure(each.name, each.value), cls="" if each.value == each.value else "bad")
    return [name, value, element("span", interval(each) or "–", cls="nowrap"), element("span", each.method, cls="dim")]


def confusion_card(result: Result) -> Html | None:
    return None


def class_card(result: Result) -> Html | None:
    """Precision, recall and F1 of each class against the rest."""
    if not result.per_class:
        return None
    header = ["class", "rows", "precision", "recall", "95 % interval of recall", "F1"]
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

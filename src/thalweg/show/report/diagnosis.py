"""A diagnosis as cards: causes in their order, what was excluded and by which test, what is open or was not judged."""

from thalweg.doctor.diagnosis import CauseFound, Diagnosis, NotJudged, by_reason, ignored_lines, unique
from thalweg.show.findings import tally
from thalweg.show.report.html import Child, Html, card, code, element, join, pairs, section
from thalweg.show.report.story import Story
from thalweg.show.text import plural


def diagnosis_section(story: Story, findings: list[Child]) -> Html:
    """Causes in their order, the findings that carry them, and what else was concluded."""
    found = story.diagnosis
    if found is None:
        return Html()
    heading = f"Diagnosis: {tally(found.findings)}"
    return section("diagnosis", heading, causes_card(found), *findings, diagnosis_grid(found))


def causes_card(found: Diagnosis) -> Html | None:
    """The ranking, which comes first of all; for a healthy training why it is called so."""
    if found.causes:
        return card("Causes, in order", element("ol", *map(cause_item, found.causes), cls="causes"))
    return lines_card("Why it is called healthy", found.evidence) if found.healthy else None


def diagnosis_grid(found: Diagnosis) -> Html | None:
    """One card each for what was excluded, what is unknown, what was not judged and what was ignored."""
    tests: list[tuple[str, Child]] = [(each.cause, each.test) for each in found.excluded]
    cards = [
        card("Excluded", pairs(tests), note="by which test") if tests else None,
        lines_card("Unknown", found.unknown),
        unjudged_card(found.not_judged),
        lines_card("Ignored", ignored_lines(found.ignored, found.unused)),
    ]
    present = [each for each in cards if each]
    return element("div", *present, cls="grid") if present else None


def cause_item(found: CauseFound) -> Html:
    """The cause, the rules that name it, and what follows from it."""
    explains = unique(f.code for f in found.explains)
    return element(
        "li",
        element("b", found.name),
        " ",
        codes(found.codes),
        element("span", f" {found.reason}", cls="dim"),
        element("span", "; explains ", codes(explains), cls="dim") if explains else None,
    )


def codes(words: tuple[str, ...]) -> Html:
    return join(map(code, words), Html(" "))


def lines_card(heading: str, lines: tuple[str, ...] | list[str]) -> Html | None:
    return card(heading, element("ul", *(element("li", line) for line in lines), cls="plain")) if lines else None


def unjudged_card(not_judged: tuple[NotJudged, ...]) -> Html | None:
    """Rules that could not judge, by the reason; their names are in the tooltip."""
    if not not_judged:
        return None
    groups: list[Child] = []
    for reason, rules in by_reason(not_judged):
        chips = [element("li", code(r.code), attributes={"title": r.name}) for r in rules]
        groups += [element("span", reason, cls="dim"), element("ul", *chips, cls="chips")]
    return card("Not judged", *groups, note=plural(len(not_judged), "rule"))

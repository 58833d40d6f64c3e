"""Data and split, what was checked, and the environment: what a reader needs to judge and to repeat the run."""

from typing import Any

from thalweg.show.report.html import Child, Html, card, code, element, join, pairs, section
from thalweg.show.report.story import Story
from thalweg.show.text import duration, number, plural

LISTED = 40  # names shown at once


def data_section(story: Story) -> Html:
    """The rows, how they were split, and the seal."""
    data, split, task = story.fact("data"), story.fact("split"), story.fact("task")
    columns, classes = data.get("columns") or [], task.get("classes") or []
    cards = [
        card("Data", pairs([("rows", data.get("description")), ("columns", names(columns))])) if data else None,
        card("Task", pairs([("kind", task.get("kind")), ("outputs", plain(task.get("num_outputs"))),
                            ("classes", names(classes))])) if task else None,
        card("Split", pairs([(key.replace("_", " "), plain(value)) for key, value in split.items()])) if split else None,
        seal_card(story.fact("seal")),
    ]  # fmt: skip
    present = [c for c in cards if c]
    return section("data", "Data", element("div", *present, cls="grid") if present else None)


def seal_card(seal: dict[str, Any]) -> Html | None:
    """How often the test rows were opened. Counting makes tampering evident, not impossible."""
    if not seal:
        return None
    openings = int(seal.get("openings", 0))
    told = "still sealed" if openings == 0 else f"opened {plural(openings, 'time')}"
    rows = [
        ("rows", number(seal.get("rows"))),
        ("state", element("b", told)),
        ("digest", code(str(seal.get("digest", "–"))[:16])),
    ]
    more = "Each opening after the first makes the measures look a little better than they are." if openings > 1 else None
    return card("Sealed test set", pairs(rows), element("p", more, cls="dim") if more else None)


def checks_section(story: Story) -> Html:
    """Rules that judged and found nothing, and rules that could not judge."""
    cards = [stage_card(name, story.fact(name)) for name in ("check", "probe") if story.fact(name)]
    return section("checks", "Checks", element("div", *cards, cls="grid") if cards else None)


def stage_card(name: str, stage: dict[str, Any]) -> Html:
    passed, open_ = stage.get("passed") or [], stage.get("not_judged") or []
    facts = [element("p", fact) for fact in stage.get("facts") or []]
    return card(
        name.capitalize(),
        *facts,
        *(chip_list(f"{len(passed)} passed", passed) if passed else []),
        *(chip_list(f"{len(open_)} not judged, as a reading they need was not taken", open_) if open_ else []),
        note=duration(stage.get("seconds")),
    )


def chip_list(heading: str, names: list[str]) -> list[Html]:
    chips = element("ul", *(element("li", code(name)) for name in names), cls="chips")
    return [element("span", heading, cls="dim"), chips]


def environment_section(story: Story) -> Html:
    """Versions and machine, and the command that repeats the run."""
    environment, source = story.fact("environment"), story.fact("source")
    cards = [
        card("Environment", pairs([(k, plain(v)) for k, v in environment.items()])) if environment else None,
        card(
            "Repeat",
            pairs(
                [
                    ("command", code(f"thalweg train {source['file']}:{source['name']}")),
                    ("source", code(f"sha256 {source['sha256'][:16]}…")),
                    ("resume", code(f"thalweg resume {story.name}")),
                ]
            ),
        )
        if source
        else None,
    ]
    present = [c for c in cards if c]
    return section("environment", "Environment", element("div", *present, cls="grid") if present else None)


def names(values: list[Any]) -> Child:
    """Names as chips, the rest of a long list folded away; None where there are none."""
    if not values:
        return None
    chips = [element("li", str(v)) for v in values]
    first = element("ul", *chips[:LISTED], cls="chips")
    if len(chips) <= LISTED:
        return first
    rest = element("ul", *chips[LISTED:], cls="chips")
    return join([first, element("details", element("summary", f"{len(chips) - LISTED:,} more"), rest)])


def plain(value: Any) -> str | None:
    """A fact as text: numbers with separators, lists with commas, a mapping as `name value`."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list):
        return ", ".join(plain(v) or "–" for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {plain(v) or '–'}" for k, v in value.items())
    return str(value)

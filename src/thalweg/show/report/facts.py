"""Data and split, what was checked, and the environment: what a reader needs to judge and to repeat the run."""

from pathlib import Path
from typing import Any

from thalweg.show.report.html import Child, Html, card, code, element, join, pairs, section, table
from thalweg.show.report.images import image_grid
from thalweg.show.report.story import Story
from thalweg.show.text import duration, number, plural

LISTED = 24  # names shown at once


def data_section(story: Story) -> Html:
    """The rows, how they were split, and the seal."""
    data, split, task = story.fact("data"), story.fact("split"), story.fact("task")
    columns, classes = data.get("columns") or [], task.get("classes") or []
    cards = [
        fact_card("Data", [("rows", data.get("description")), ("columns", names(columns))]),
        fact_card(
            "Task",
            [("kind", task.get("kind")), ("outputs", plain(task.get("num_outputs"))), ("classes", names(classes))],
        ),
        seal_card(story.fact("seal")),
        fact_card("Split", [(key.replace("_", " "), split_fact(value)) for key, value in split.items()]),
    ]
    present = [c for c in cards if c]
    return section("data", "Data", element("div", *present, cls="grid") if present else None)


def augmentation_section(story: Story) -> Html:
    """Training images under each augmentation, and under all of them."""
    rows = (story.fact("augmentation") or {}).get("rows") or []
    note = "As drawn for the first epoch; each part acts on all images, and as it is planned in the last row."
    return section("augmentation", "Augmentation", card("", image_grid(rows), note=note) if rows else None)


def split_fact(value: Any) -> Child:
    """A fact of the split; counts by class and part become a table."""
    if not (isinstance(value, dict) and value and all(isinstance(row, dict) for row in value.values())):
        return plain(value)
    parts = list(dict.fromkeys(part for row in value.values() for part in row))
    rows = [[name, *(plain(row.get(part)) for part in parts)] for name, row in list(value.items())[:LISTED]]
    more = f"and {len(value) - LISTED:,} more" if len(value) > LISTED else None
    return join([table(["", *parts], rows), more])


def fact_card(heading: str, rows: list[tuple[str, Child]]) -> Html | None:
    """A card of the facts that are known; None where none is."""
    known = [(name, value) for name, value in rows if value is not None]
    return card(heading, pairs(known)) if known else None


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
    more = "Each opening after the first makes the measures look a little better than they are."
    return card("Sealed test set", pairs(rows), element("p", more, cls="dim") if openings > 1 else None)


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
    repeat: list[tuple[str, Child]] = []
    if source:
        repeat = [
            ("command", code(f"thalweg train {Path(source['file']).name}:{source['name']}")),
            ("file", code(source["file"])),
            ("sha256", code(f"{source['sha256'][:16]}…")),
        ]
    cards = [fact_card("Environment", [(k, plain(v)) for k, v in environment.items()]), fact_card("Repeat", repeat)]
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
    if value in (None, "", [], {}):
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

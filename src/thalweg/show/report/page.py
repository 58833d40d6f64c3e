"""The page as a whole: head, verdict, figures at a glance, and the sections in the order of their weight."""

import os
from pathlib import Path

from thalweg import __version__
from thalweg.show.findings import kind, tally
from thalweg.show.measures import interval
from thalweg.show.report.curves import curves_section
from thalweg.show.report.decisions import plan_section
from thalweg.show.report.diagnosis import diagnosis_section
from thalweg.show.report.facts import augmentation_section, checks_section, data_section, environment_section
from thalweg.show.report.findings import finding_cards, findings_section
from thalweg.show.report.html import Child, Html, code, element, join, section
from thalweg.show.report.layers import layer_table
from thalweg.show.report.measures import measures_section
from thalweg.show.report.story import Story, read_story
from thalweg.show.style import DARK, LIGHT, parts
from thalweg.show.text import compact, duration, measure, number, plural, title

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
STYLE = Path(__file__).with_name("style.css")
GROUND = f":root {{ color-scheme: light dark;{LIGHT}}}\n@media (prefers-color-scheme: dark) {{ :root {{{DARK}}} }}\n"


def write_report(run_directory: Path, path: Path) -> None:
    """Writes the report of a run, one HTML file that loads nothing else, from the run's store alone.

    Args:
        run_directory: the run's folder; the run may still be going on, or have been cut short.
        path: the file to write; its folder is made, a file of that name replaced as a whole.

    Raises:
        StoreError: when the folder holds no run, or its store cannot be read.
    """
    text = page(read_story(run_directory))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def page(story: Story) -> str:
    """The whole document."""
    sections = [
        diagnosis_section(story, finding_cards(story.findings)) or findings_section(story),
        measures_section(story),
        curves_section(story),
        section("layers", "Layers", layer_table(story)),
        plan_section(story),
        augmentation_section(story),
        data_section(story),
        checks_section(story),
        environment_section(story),
    ]
    main = element("main", tiles(story), *sections)
    body = join([top(story), verdict(story), navigation(sections), main, foot(story)])
    return f'<!doctype html>\n<html lang="en">{head(story)}{element("body", body)}</html>\n'


def head(story: Story) -> Html:
    return element(
        "head",
        element("meta", attributes={"charset": "utf-8"}),
        element("meta", attributes={"http-equiv": "Content-Security-Policy", "content": POLICY}),
        element("meta", attributes={"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", attributes={"name": "color-scheme", "content": "light dark"}),
        element("link", attributes={"rel": "icon", "href": "data:,"}),
        element("title", f"{story.name} · thalweg"),
        element("style", Html(GROUND + STYLE.read_text(encoding="utf-8") + parts())),
    )


def top(story: Story) -> Html:
    """Name of the run, and what was trained on what."""
    when = str(story.fact("created") or "")[:16].replace("T", " ")
    return element(
        "header",
        element("h1", story.name),
        element("span", about(story), cls="dim"),
        element("span", " · ".join(a for a in (story.status, when) if a), cls="dim right"),
    )


def about(story: Story) -> str:
    """`CNN 38.3k parameters · 1,149/288 rows, 360 sealed · cpu · seed 0`."""
    model, seed = story.fact("model"), story.fact("plan").get("seed")
    size = f"{model.get('name', 'model')} {compact(model['num_parameters'])} parameters" if model else None
    facts = [size, story.fact("data").get("description"), story.fact("environment").get("device")]
    facts += [f"seed {seed}"] if isinstance(seed, int) else []
    return " · ".join(fact for fact in facts if fact)


def sentence(story: Story) -> str:
    """The verdict, or how the run stands without one."""
    return str(story.fact("verdict") or "") or {
        "running": "The run is still going on; this shows it as it is now.",
        "failed": "The training failed.",
    }.get(story.status, "The run ended without a verdict.")


def verdict(story: Story) -> Html:
    """The sentence that matters, and where a run that did not end can go on."""
    small: list[Child] = []
    if story.status == "interrupted":
        small = ["Interrupted. ", code(f"thalweg resume {story.name}"), " goes on where it stopped."]
    text = element("p", sentence(story), element("small", *small) if small else None)
    return element("div", text, cls=f"verdict {story.tone}", attributes={"role": "status"})


def navigation(sections: list[Html]) -> Html:
    """Links to the sections that are there."""
    anchors = [s.split('id="', 1)[1].split('"', 1)[0] for s in sections if s]
    links = [element("a", name.capitalize(), attributes={"href": f"#{name}"}) for name in anchors]
    return element("nav", *links, attributes={"aria-label": "Sections"})


def tiles(story: Story) -> Html:
    """The figures at a glance."""
    best, readings = story.fact("best"), story.readings
    found = []
    if story.result and story.result.measures:
        first = story.result.measures[0]
        spread = f"interval (95 %): {interval(first)}" if interval(first) else ""
        found.append(tile(measure(first.name, first.value), f"test {title(first.name)}", spread))
    for name in story.metric_names[:1]:
        at_best = [r.value for r in story.series(f"validation.{name}") if r.step == best.get("step")]
        value = at_best[0] if at_best else readings.value(f"validation.{name}")
        found.append(tile(measure(name, value), f"validation {title(name)}", "at the best epoch" if at_best else ""))
    if best.get("epoch") and best.get("value") is not None:
        name = str(best.get("selection", "loss"))
        text = f"of {number(story.fact('num_epochs') or None)}, by validation {title(name)}"
        found.append(tile(f"epoch {best['epoch']}", "best", f"{text} {measure(name, best['value'])}"))
    alarms = [f for f in story.findings if f.counts]
    found.append(tile(number(len(alarms)), plural_word(len(alarms)), tally(story.findings)))
    if story.fact("seconds"):
        found.append(tile(duration(story.fact("seconds")), "whole time", steps_text(story)))
    return element("div", *found, cls="tiles")


def tile(figure: str, label: str, small: str) -> Html:
    return element("div", element("b", figure), element("span", label), element("small", small), cls="tile")


def plural_word(count: int) -> str:
    return "alarm" if count == 1 else "alarms"


def steps_text(story: Story) -> str:
    steps = story.fact("num_steps")
    return plural(steps, "step") if steps else ""


def foot(story: Story) -> Html:
    """Who wrote this, with what."""
    version = story.fact("environment").get("thalweg", __version__)
    codes = dict.fromkeys(f.code for f in story.findings if kind(f) != "suspicion")
    more = [" ", code(f"thalweg explain {next(iter(codes))}"), " says more about a finding."] if codes else []
    return element("footer", f"Written by thalweg {version}. ", *more)

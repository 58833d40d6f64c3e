"""A run as HTML for a notebook: the verdict, the findings, the two curves that matter, the measures, the plan."""

from pathlib import Path

from thalweg.show.cards import as_call
from thalweg.show.notebook.frame import framed
from thalweg.show.report.curves import curve_card, first_up, series_of
from thalweg.show.report.decisions import plan_of
from thalweg.show.report.diagnosis import causes_card, diagnosis_grid
from thalweg.show.report.findings import finding_cards
from thalweg.show.report.html import Html, card, code, element
from thalweg.show.report.measures import confusion_card, fit_card, measure_card
from thalweg.show.report.page import about, sentence, tiles
from thalweg.show.report.story import Story, read_story
from thalweg.show.text import plural, title


def run_html(directory: Path) -> str:
    """The run as its store has it; it may still be going on, or have been cut short."""
    story = read_story(directory, "train.loss", "validation.", "fit.")  # a long run has hundreds of thousands besides
    return framed(
        head(story.name, about(story), story.status),
        verdict(sentence(story), story.tone, "interrupted" if story.status == "interrupted" else ""),
        tiles(story),
        causes_card(story.diagnosis) if story.diagnosis else None,
        *finding_cards(story.findings, change=as_call),
        diagnosis_grid(story.diagnosis) if story.diagnosis else None,
        curves(story),
        measures(story),
        plan(story),
        element("p", code("run.report()"), " writes all that was measured into one HTML file.", cls="dim"),
    )


def head(name: str, about: str, status: str) -> Html:
    """Name of the run, what was trained on what, and how it stands."""
    return element(
        "div",
        element("h3", name),
        element("span", about, cls="dim"),
        element("span", status, cls="dim right"),
        cls="head",
    )


def verdict(sentence: str, tone: str, status: str) -> Html:
    """The sentence that matters; a run that was interrupted says how it goes on."""
    more = "Interrupted. ", code("experiment.resume(run)"), " goes on where it stopped."
    small = element("small", *more) if status == "interrupted" else None
    return element("div", element("p", sentence, small), cls=f"verdict {tone}")


def curves(story: Story) -> Html | None:
    """The loss and the first measure."""
    losses = [series_of(story.series("train.loss"), "training"),
              series_of(story.series("validation.loss"), "validation")]  # fmt: skip
    cards = [curve_card(story, "Loss", losses)]
    for name in story.metric_names[:1]:
        curve = series_of(story.series(f"validation.{name}"), "validation")
        cards.append(curve_card(story, first_up(title(name)), [curve], note="on the validation rows"))
    present = [c for c in cards if c]
    return element("div", *present, cls="grid") if present else None


def measures(story: Story) -> Html | None:
    """On the test rows where they were opened, and of the kept weights on each part; `run.result` shows more."""
    seal = story.fact("seal")
    tested = [measure_card(story.result, seal), confusion_card(story.result)] if story.result else []
    present = [c for c in (*tested, fit_card(story)) if c]
    return element("div", *present, cls="grid") if present else None


def plan(story: Story) -> Html | None:
    """The plan as it was carried out, folded."""
    decided, decisions = story.fact("plan"), story.fact("decisions") or []
    if not decided:
        return None
    summary = element("summary", f"Plan, with {plural(len(decisions), 'automatic choice')}")
    return element("details", summary, card("", plan_of(story)))

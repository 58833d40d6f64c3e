"""A training as it stands, drawn: how far it is, what was decided and found, its curves and its epochs."""

from collections.abc import Sequence

from thalweg.events import EpochEnded, Progress, StageEnded
from thalweg.findings import Finding
from thalweg.show.cards import as_call
from thalweg.show.charts import Marker, Series, line_chart
from thalweg.show.epochs import Column, columns_of
from thalweg.show.findings import ordered, tally
from thalweg.show.notebook.frame import framed
from thalweg.show.notebook.run import head, verdict
from thalweg.show.notebook.told import Told
from thalweg.show.report.curves import first_up, spans_much
from thalweg.show.report.diagnosis import causes_card, diagnosis_grid
from thalweg.show.report.findings import finding_cards
from thalweg.show.report.html import Child, Html, card, code, element, table, table_row
from thalweg.show.report.story import tone
from thalweg.show.text import duration, number, plural, title

BAD = ("NaN", "∞", "−∞")


def picture(told: Told) -> str:
    """The training as HTML."""
    return framed(
        top(told),
        ending(told),
        *(stage_line(stage) for stage in told.stages),
        decisions(told),
        causes_card(told.ended.diagnosis) if told.ended and told.ended.diagnosis else None,
        *finding_cards(findings_of(told), change=as_call),
        diagnosis_grid(told.ended.diagnosis) if told.ended and told.ended.diagnosis else None,
        bar(told.progress, told.left) if told.progress and not (told.ended or told.closed) else None,
        curves(told),
        epoch_table(told.table, told.best) if told.newest else None,
    )


def in_words(told: Told) -> str:
    """The training in plain text, for what shows no HTML."""
    name = told.started.run if told.started else "training"
    if told.ended:
        return "\n".join([f"{name}: {told.ended.verdict}", *map(str, findings_of(told))])
    return f"{name}: {standing(told)}"


def findings_of(told: Told) -> Sequence[Finding]:
    """In the order of the diagnosis, once there is one."""
    return told.ended.diagnosis.findings if told.ended and told.ended.diagnosis else ordered(told.findings)


def standing(told: Told) -> str:
    """How far it is, in a few words."""
    if told.ended:
        return told.ended.status
    if told.closed:
        return "stopped before its end"
    if told.progress:
        return f"epoch {told.progress.epoch:,} of {told.progress.num_epochs:,}"
    return "preparing"


def top(told: Told) -> Html:
    started = told.started
    about = [started.model, started.data, started.device] if started else []
    return head(started.run if started else "training", " · ".join(a for a in about if a), standing(told))


def ending(told: Told) -> Html | None:
    """The verdict, when there is one."""
    if told.ended is None:
        return None
    return verdict(told.ended.verdict, tone(told.ended.status, told.findings), told.ended.status)


def stage_line(stage: StageEnded) -> Html:
    """`check ✓ 9 passed · 1 warning · loss at start 2.31 · 1.9 s`."""
    found = [tally(stage.findings)] if stage.findings else []
    told = " · ".join((*found, *stage.facts, duration(stage.seconds)))
    passed = element("span", f"✓ {number(stage.passed)} passed · ", cls="passed") if stage.passed else None
    return element("p", element("b", stage.stage), " ", passed, told, cls="stage")


def decisions(told: Told) -> Html | None:
    """The automatic choices: before the first step in full, afterwards folded."""
    if not told.decisions:
        return None
    rows: list[list[Child]] = [[d.field, code(d.value), d.reason] for d in told.decisions]
    choices = table(["field", "value", "reason"], rows, cls="text")
    if told.progress is None and not told.closed:
        return choices
    return element("details", element("summary", plural(len(rows), "automatic choice")), choices)


def bar(progress: Progress, left: str) -> Html:
    """How far it is, how the loss stands, and how long it still takes."""
    facts = [f"step {progress.step:,} of {progress.num_steps:,}"]
    facts += [] if progress.loss is None else [f"loss {number(progress.loss)}"]
    facts += [left] if left else []
    limits = {"value": str(progress.step), "max": str(progress.num_steps), "aria-label": "training"}
    return element("div", element("progress", attributes=limits), element("span", " · ".join(facts), cls="dim"))


def curves(told: Told) -> Html | None:
    """The loss and the measure. Losses of single batches are drawn where an epoch is long enough to need them."""
    losses = [told.train.series, told.validation.series]
    if told.looks > 2 * told.epochs:
        losses.append(told.batches.series)
    cards = [curve(told, "Loss", losses)]
    if told.newest and told.metric.x:
        cards.append(curve(told, first_up(title(told.newest.metric_name)), [told.metric.series]))
    present = [c for c in cards if c]
    return element("div", *present, cls="grid") if present else None


def curve(told: Told, heading: str, series: list[Series]) -> Html | None:
    present = [s for s in series if s.x]
    if not present:
        return None
    log = spans_much(v for s in present for v in s.y)
    chart = line_chart(
        present, title=f"{heading} by step", x_label="step", y_scale="log" if log else "linear",
        markers=[Marker(told.best.step, "best", "best", f"epoch {told.best.epoch}")] if told.best else [],
    )  # fmt: skip
    notes = [s.name for s in present[:1] if len(present) == 1] + ["logarithmic"] * log
    return card(heading, Html(chart), note=", ".join(notes))


def epoch_table(epochs: list[EpochEnded], best: EpochEnded | None) -> Html:
    """The columns of the terminal's table; the best epoch so far has a star."""
    last = epochs[-1]
    columns = columns_of(last)
    names = [title(last.metric_name) if c.name == "metric" else c.name for c in columns]
    return table(names, [epoch_row(e, columns, best=e is best) for e in epochs], cls="epochs")


def epoch_row(event: EpochEnded, columns: list[Column], *, best: bool) -> Html:
    texts = [column.cell(event) for column in columns]
    cells: list[Child] = [element("span", text, cls="bad") if text in BAD else text for text in texts]
    if best:
        cells[0] = element("span", texts[0], element("span", " ★", cls="star"))
    return table_row(cells, cls="best" if best else "")

"""The curves of the training, with the findings marked where they begin."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from thalweg.readings import Reading
from thalweg.show.charts import Marker, Series, line_chart
from thalweg.show.findings import kind
from thalweg.show.report.html import Html, card, element, section
from thalweg.show.report.layers import layer_heat_map
from thalweg.show.report.story import Story
from thalweg.show.text import rate, title

HEALTHY_UPDATE = (1e-4, 1e-2)  # an order of magnitude to both sides of 1e-3, the usual rule of thumb
WIDE = 30.0  # a curve that spans more than this factor is drawn on a logarithmic scale
SEVERAL = 6  # curves that can be told apart by color


def curves_section(story: Story) -> Html:
    """Loss, measures, rate, gradients, update against weight, and the race that chose the rate."""
    batches = [series_of(story.series("train.batch_loss"), "batches")]
    cards = [
        curve_card(story, "Loss", [series_of(story.series("train.loss"), "training"),
                                   series_of(story.series("validation.loss"), "validation")]),
        *(curve_card(story, first_up(title(name)), [series_of(story.series(f"validation.{name}"), "validation")],
                     note="on the validation rows") for name in story.metric_names[:3]),
        penalty_card(story),
        curve_card(story, "Learning rate", [series_of(story.series("rate"), "rate")], logarithmic=False),
        curve_card(story, "Gradient norm", [series_of(story.series("gradient.norm"), "norm")], logarithmic=True),
        curve_card(story, "Update / weight", updates(story), note="usual: 1e-04 to 1e-02", logarithmic=True,
                   healthy=HEALTHY_UPDATE),
        curve_card(story, "Loss of single batches", batches),
        race_card(story),
        layer_heat_map(story),
    ]  # fmt: skip
    present = [c for c in cards if c]
    return section("curves", "Curves", element("div", *present, cls="grid") if present else None)


def penalty_card(story: Story) -> Html | None:
    """What the regularizer adds to the loss; None where there is none, or it is a limit."""
    penalties = series_of(story.series("regularizer.penalty"), "penalty")
    if not any(penalties.y):
        return None
    return curve_card(story, "Penalty on the weights", [penalties], note="not in the loss above")


def curve_card(
    story: Story,
    heading: str,
    series: Sequence[Series],
    *,
    note: str = "",
    logarithmic: bool | None = None,
    healthy: tuple[float, float] | None = None,
) -> Html | None:
    """Curves over the steps; None where nothing was measured. The values choose the scale that is not given."""
    present = [s for s in series if s.x]
    if not present:
        return None
    log = spans_much(v for s in present for v in s.y) if logarithmic is None else logarithmic
    chart = line_chart(
        present,
        title=f"{heading} by step",
        x_label="step",
        y_scale="log" if log else "linear",
        markers=markers(story),
        healthy=healthy,
    )
    return card(heading, Html(chart), note=", ".join(part for part in (note, "logarithmic" if log else "") if part))


def first_up(text: str) -> str:
    """
    >>> first_up("balanced accuracy"), first_up("AUC")
    ('Balanced accuracy', 'AUC')
    """
    return text[:1].upper() + text[1:]


def series_of(readings: Sequence[Reading], name: str) -> Series:
    return Series(name, [float(r.step or 0) for r in readings], [r.value for r in readings])


def spans_much(values: Iterable[float]) -> bool:
    """Whether finite values are all above 0 and span more than a factor of 30."""
    finite = [v for v in values if math.isfinite(v)]
    return bool(finite) and min(finite) > 0 and max(finite) > WIDE * min(finite)


def updates(story: Story) -> list[Series]:
    """The median over the layers; the first layers themselves where no median was recorded."""
    if median := story.series("update.ratio"):
        return [series_of(median, "median of the layers")]
    layers = [place for place in story.readings.places("update.ratio") if place][:SEVERAL]
    return [series_of(story.series("update.ratio", place), place) for place in layers]


def markers(story: Story) -> list[Marker]:
    """The step of the best epoch, and where each finding begins."""
    best: dict[str, Any] = story.fact("best")
    found = [Marker(float(best["step"]), "best", "best", f"epoch {best.get('epoch')}")] if best.get("step") else []
    return found + [Marker(float(f.step), f.code, kind(f), f.title) for f in story.findings if f.step]


def race_card(story: Story) -> Html | None:
    """The constant rates that were tried before the training, and the one that was chosen."""
    tried = sorted((float(r.place), r) for r in story.readings.of("race.loss") if is_rate(r.place))
    if not tried:
        return None
    x = [value for value, _ in tried]
    lows, highs = ([limit if limit is not None else r.value for limit, (_, r) in zip(limits, tried, strict=True)]
                   for limits in ([r.low for _, r in tried], [r.high for _, r in tried]))  # fmt: skip
    known = any(r.low is not None for _, r in tried)
    losses = Series("held-out loss", x, [r.value for _, r in tried], lows if known else (), highs if known else ())
    chosen = story.readings.last("race.rate")
    marked = [Marker(chosen.value, "chosen", "best", rate(chosen.value))] if chosen else []
    chart = line_chart(
        [losses], title="Race of constant rates", x_label="rate", y_label="", x_scale="log", markers=marked,
        y_scale="log" if spans_much(losses.y) else "linear",
    )  # fmt: skip
    note = ""
    if chosen and chosen.low is not None and chosen.high is not None:
        note = f"as good: {rate(chosen.low)} to {rate(chosen.high)}"
    return card("Race of learning rates", Html(chart), note=note)


def is_rate(place: str) -> bool:
    try:
        return float(place) > 0
    except ValueError:
        return False

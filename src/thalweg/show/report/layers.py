"""The layers: what the network is made of, and what was measured in it last."""

import math
from collections.abc import Callable
from typing import Any

from thalweg.findings import Finding
from thalweg.show.charts import heat_map
from thalweg.show.report.html import Child, Html, card, element, table, table_row
from thalweg.show.report.story import Story
from thalweg.show.text import number, percent, rate

ALARM = 0.5  # share of a layer's units, above which the number is drawn in red; a rule decides, not this
MEASURED: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
    ("activation.mean", "act mean", lambda v: number(v, 3)),
    ("activation.std", "act std", lambda v: number(v, 3)),
    ("activation.zero", "zero", lambda v: percent(v, 1)),
    ("activation.dead", "dead", lambda v: percent(v, 1)),
    ("activation.saturated", "saturated", lambda v: percent(v, 1)),
    ("gradient.rms", "grad rms", lambda v: rate(v)),
    ("update.ratio", "update/weight", lambda v: rate(v)),
)


def layer_table(story: Story) -> Html:
    """One row per layer; a layer with a finding is marked. Empty where the network was never examined."""
    layers: list[dict[str, Any]] = story.fact("layers") or []
    known = [m for m in MEASURED if any(story.readings.of(m[0], layer["place"]) for layer in layers)]
    header = ["layer", "kind", "output", "parameters", *(label for _, label, _ in known)]
    rows = [layer_row(story, layer, known) for layer in layers]
    if not rows:
        return Html()
    steps = [r.step for name, _, _ in known for r in story.readings.of(name) if r.place and r.step is not None]
    note = f"as measured last, at step {number(max(steps))}" if steps else ""
    return card("", table(header, rows, cls="layers"), note=note)


def layer_row(story: Story, layer: dict[str, Any], known: list[tuple[str, str, Callable[[float | None], str]]]) -> Html:
    place = layer["place"]
    cells: list[Child] = [
        place or "(whole network)",
        layer["kind"],
        element("span", str(layer.get("out") or "–"), cls="nowrap"),
        number(layer["parameters"]) if layer["parameters"] else "–",
    ]
    for name, _, form in known:
        value = story.readings.value(name, place)
        grave = name == "activation.dead" and value is not None and value > ALARM
        cells.append(element("span", form(value), cls="bad") if grave or value != value else form(value))
    return table_row(cells, cls="flagged" if any(concerns(f, place) for f in story.findings) else "")


def concerns(finding: Finding, place: str) -> bool:
    """Whether a finding is about this layer or a parameter of it."""
    return bool(place) and (finding.place == place or finding.place.startswith(f"{place}."))


def layer_heat_map(story: Story) -> Html | None:
    """The gradient's size by layer and step, on a logarithmic scale; None where it was not measured."""
    measured = story.readings.places("gradient.rms")
    order = [layer["place"] for layer in story.fact("layers") or []]
    places = [p for p in order if p in measured] + [p for p in measured if p and p not in order]
    cells = {(r.place, r.step): r.value for r in story.readings.of("gradient.rms") if r.step is not None}
    steps = sorted({step for _, step in cells})
    if not places or not steps:
        return None
    values = [[cells.get((place, step), math.nan) for step in steps] for place in places]
    chart = heat_map(places, steps, values, title="Gradient by layer and step", x_label="step")
    return card("Gradient by layer and step", Html(chart), note="rms, logarithmic")

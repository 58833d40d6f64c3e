"""Several trainings under the same seeds: a dot for each seed, joined with its pair, and the mean with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.show.charts.frame import x_axis
from thalweg.show.charts.intervals import Interval
from thalweg.show.charts.scales import Scale, widened
from thalweg.show.charts.svg import (
    LINE,
    WIDTH,
    at,
    drawing,
    finite,
    label,
    nothing,
    path,
    shorten,
    tag,
    visible,
    width_of,
)

ROW = 40.0
ABOVE = 9.0  # the dots of the seeds stand so far above their mean


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm: its mean with interval and text, and its value under each seed (None where it has none)."""

    mean: Interval
    values: tuple[float | None, ...]


def arm_plot(rows: Sequence[ArmRow], *, seeds: Sequence[int], title: str, x_label: str = "") -> str:
    """Rows from top to bottom on a common axis. A thin line joins the values of a seed: where most of them lean the
    same way, the difference is the arms' and not the seeds'.

    Args:
        rows: the best first.
        seeds: as many as each row has values.
        title: what it shows, for a screen reader.
        x_label: under the axis.

    >>> arms = [ArmRow(Interval("Adam", 0.93, 0.92, 0.94, "0.93"), (0.92, 0.94)),
    ...         ArmRow(Interval("SGD", 0.90, 0.89, 0.91, "0.90"), (0.89, None))]
    >>> chart = arm_plot(arms, seeds=(0, 1), title="accuracy")
    >>> chart.count("<circle"), "seed 1: 0.94" in chart
    (5, True)
    """
    means = finite([v for row in rows for v in (row.mean.value, row.mean.low, row.mean.high) if v is not None])
    values = finite([v for row in rows for v in row.values if v is not None])
    if not values:
        return nothing("arms", title)
    low, high = limits(means, values)
    left = min(max(width_of(row.mean.name) for row in rows) + 8, WIDTH * 0.35)
    right = max(width_of(row.mean.text) for row in rows) + 8
    x = Scale(low, high, left + 6, WIDTH - right - 6)
    bottom = len(rows) * ROW + 4
    grid = tag("path", d="".join(f"M{at(x(v))} 0V{at(bottom)}" for v, _ in x.ticks(6)), class_="grid")
    x_label = shorten(x_label, WIDTH)
    half = width_of(x_label) / 2
    center = min(max((x.start + x.end) / 2, half), WIDTH - half)  # a label wider than the axis stays inside
    name = [label(center, bottom + 2 * LINE, x_label, anchor="middle")] if x_label else []
    joined = [tag("path", d=pair_line(rows, k, x), class_="tick pair", stroke_opacity=0.5) for k in range(len(seeds))]
    drawn = [tag("g", *dots(row, seeds, x, i), draw_mean(row.mean, x, middle(i), left)) for i, row in enumerate(rows)]
    said = " ".join(f"{row.mean.name}: {row.mean.text or row.mean.value}." for row in rows)
    height = bottom + (2.7 if x_label else 1.5) * LINE
    return drawing("arms", title, said, height, grid, *x_axis(x, bottom, whole=False), *name, *joined, *drawn)


def limits(means: list[float], values: list[float]) -> tuple[float, float]:
    """What the axis shows: all values, and of intervals no more than thrice their range, as two seeds have no end."""
    low, high = min(values), max(values)
    spread = high - low or abs(high) or 1.0
    low, high = max(min([low, *means]), low - spread), min(max([high, *means]), high + spread)
    margin = (high - low) * 0.05
    return (low - margin, high + margin) if high > low else widened(low, high, "linear")


def middle(index: int) -> float:
    """Where the mean of a row stands; the seeds' dots are above it."""
    return (index + 0.5) * ROW + ABOVE / 2


def pair_line(rows: Sequence[ArmRow], seed: int, x: Scale) -> str:
    """Through the values of one seed."""
    found = [(i, row.values[seed]) for i, row in enumerate(rows)]
    points = [None if v is None or not finite([v]) else (x(v), middle(i) - ABOVE) for i, v in found]
    return path(points)


def dots(row: ArmRow, seeds: Sequence[int], x: Scale, index: int) -> list[str]:
    known = [(seed, v) for seed, v in zip(seeds, row.values, strict=True) if v is not None and finite([v])]
    y = middle(index) - ABOVE
    told = [tag("title", visible(f"seed {seed}: {v:.4g}")) for seed, v in known]
    return [
        tag("circle", text, cx=x(v), cy=y, r=2.5, class_="zero seed", fill_opacity=0.6)
        for text, (_, v) in zip(told, known, strict=True)
    ]


def draw_mean(mean: Interval, x: Scale, y: float, left: float) -> str:
    """The mean and its interval; where an end lies beyond the axis the line runs out without one."""
    parts = [tag("title", visible(f"{mean.name} {mean.text}"))]
    parts.append(label(left - 8, y - ABOVE / 2, shorten(mean.name, left - 8), anchor="end", cls="name"))
    parts.append(label(WIDTH, y - ABOVE / 2, mean.text, anchor="end", cls="name"))
    if mean.low is not None and mean.high is not None and finite([mean.low, mean.high]) == [mean.low, mean.high]:
        ends = "".join(f"M{at(x(v))} {at(y - 4)}v8" for v in (mean.low, mean.high) if x.low <= v <= x.high)
        line = f"M{at(x(max(mean.low, x.low)))} {at(y)}H{at(x(min(mean.high, x.high)))}"
        parts.append(tag("path", d=line + ends, class_="line s1"))
    if finite([mean.value]):
        parts.append(tag("circle", cx=x(mean.value), cy=y, r=4.0, class_="dot s1"))
    return tag("g", *parts)

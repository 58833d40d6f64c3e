"""Estimates with their intervals, one row each on a common axis."""

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.show.charts.frame import x_axis
from thalweg.show.charts.scales import Scale, widened
from thalweg.show.charts.svg import LINE, WIDTH, at, drawing, finite, label, nothing, shorten, tag, visible, width_of

ROW = 24.0


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate: its name, value, ends of its interval (None where there is none), and its text."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    text: str = ""


def interval_plot(
    rows: Sequence[Interval], *, title: str, x_label: str = "", limits: tuple[float, float] | None = None
) -> str:
    """A point and a line from end to end for each estimate; they must be of one unit.

    Args:
        rows: from top to bottom.
        title: what it shows, for a screen reader.
        x_label: under the axis.
        limits: `(0, 1)` for a share: the axis ends there, unless a value lies beyond, as an r2 below 0.

    >>> chart = interval_plot([Interval("accuracy", 0.98, 0.96, 0.99, "98.0 %")], title="Measures", limits=(0, 1))
    >>> "98.0 %" in chart
    True
    """
    values = finite([v for row in rows for v in (row.value, row.low, row.high) if v is not None])
    if not values:
        return nothing("intervals", title)
    low, high = widened(min(values), max(values), "linear")
    if limits and min(values) >= limits[0]:
        low = max(low, limits[0])
    if limits and max(values) <= limits[1]:
        high = min(high, limits[1])
    left = min(max(width_of(row.name) for row in rows) + 8, WIDTH * 0.35)
    right = max(width_of(row.text) for row in rows) + 8
    x = Scale(low, high, left + 6, WIDTH - right - 6)
    bottom = len(rows) * ROW + 4
    lines = [draw_row(row, x, (i + 0.5) * ROW, left) for i, row in enumerate(rows)]
    grid = tag("path", d="".join(f"M{at(x(v))} 0V{at(bottom)}" for v, _ in x.ticks(5)), class_="grid")
    name = [label((x.start + x.end) / 2, bottom + 2 * LINE, x_label, anchor="middle")] if x_label else []
    said = " ".join(f"{row.name}: {row.text or row.value}." for row in rows)
    height = bottom + (2.7 if x_label else 1.5) * LINE
    return drawing("intervals", title, said, height, grid, *x_axis(x, bottom, whole=False), *name, *lines)


def draw_row(row: Interval, x: Scale, y: float, left: float) -> str:
    parts = [tag("title", visible(f"{row.name} {row.text}"))]
    parts.append(label(left - 8, y, shorten(row.name, left - 8), anchor="end", cls="name"))
    parts.append(label(WIDTH, y, row.text, anchor="end", cls="name"))
    if row.low is not None and row.high is not None and finite([row.low, row.high]) == [row.low, row.high]:
        ends = f"M{at(x(row.low))} {at(y - 4)}v8M{at(x(row.high))} {at(y - 4)}v8"
        parts.append(tag("path", d=f"M{at(x(row.low))} {at(y)}H{at(x(row.high))}{ends}", class_="line s1"))
    if finite([row.value]):
        parts.append(tag("circle", cx=x(row.value), cy=y, r=4.0, class_="dot s1"))
    return tag("g", *parts)

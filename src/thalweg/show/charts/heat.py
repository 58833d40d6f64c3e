"""A heat map: layers down, steps across, one color per order of magnitude."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from thalweg.show.charts.scales import power_text
from thalweg.show.charts.svg import LINE, WIDTH, at, drawing, label, nothing, shorten, tag, width_of
from thalweg.show.text import number

# viridis, which keeps its order in gray and for color-blind eyes
STOPS = ("440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725")
SHADES = 28
COLUMNS = 120
SEAM = 0.3  # cells overlap by this much, because a gap between rounded edges would show


def heat_map(
    names: Sequence[str],
    columns: Sequence[float],
    values: Sequence[Sequence[float]],
    *,
    title: str,
    x_label: str,
    y_label: str = "",
    scale: Literal["log", "linear"] = "log",
) -> str:
    """Values by row and column as colors; zeros and values that are not finite have colors of their own.

    Args:
        names: of the rows: layers, in the order of the network.
        columns: the step of each column; columns are drawn equally wide, at most 120 of them.
        values: `values[row][column]`; None or NaN where nothing was measured.
        title: what it shows, for a screen reader.
        x_label: under the axis.
        y_label: what the color means.
        scale: `"log"` gives each factor the same step of color.

    >>> chart = heat_map(["conv1", "fc"], [0, 100], [[0.1, 0.01], [1.0, 0.0]], title="Gradients", x_label="step")
    >>> 'class="zero"' in chart
    True
    """
    shown = [v for row in values for v in row if drawable(v, scale)]
    if not shown:
        return nothing("heat", title)
    low, high = min(shown), max(shown)
    left = min(max(width_of(name) for name in names) + 6, WIDTH * 0.3)
    legend, top = color_legend(low, high, y_label, special(values, scale))
    height = min(max(360 / len(names), 5.0), 18.0)
    count = min(len(columns), COLUMNS)
    groups = [range(k * len(columns) // count, (k + 1) * len(columns) // count) for k in range(count)]
    width = (WIDTH - left) / count
    kinds = [[kind_of(extreme([row[c] for c in g], scale), low, high, scale) for g in groups] for row in values]
    every = math.ceil(LINE / height)
    sides = [
        label(left - 6, top + (i + 0.5) * height, shorten(name, left - 6), anchor="end")
        for i, name in enumerate(names)
        if i % every == 0
    ]
    bottom = top + len(names) * height
    axis = column_axis([columns[g[0]] for g in groups], left, width, bottom, x_label)
    said = f"{len(names):,} rows, {len(columns):,} columns, values between {number(low)} and {number(high)}."
    cells = draw_cells(kinds, left, top, width, height)
    return drawing("heat", title, said, bottom + 2.7 * LINE, *legend, *cells, *sides, *axis)


def draw_cells(kinds: Sequence[Sequence[str]], left: float, top: float, width: float, height: float) -> list[str]:
    """One path for each color, with a rectangle for each stretch of equal neighbors, which is short."""
    rectangles: dict[str, str] = {}
    for i, row in enumerate(kinds):
        for begin, end in runs(row):
            across = (end - begin) * width + SEAM
            place = f"M{at(left + begin * width)} {at(top + i * height)}"
            rectangles[row[begin]] = (
                rectangles.get(row[begin], "") + f"{place}h{at(across)}v{at(height + SEAM)}h{at(-across)}z"
            )
    rectangles.pop("", None)  # nothing was measured there
    return [
        tag("path", d=d, fill=kind) if kind[0] == "#" else tag("path", d=d, class_=kind)
        for kind, d in rectangles.items()
    ]


def drawable(value: float | None, scale: str) -> bool:
    return value is not None and math.isfinite(value) and (scale == "linear" or value > 0)


def extreme(values: Sequence[float | None], scale: str) -> float | None:
    """The value of a group of columns that must not be lost: one that has no color on the scale, else the largest."""
    odd = [v for v in values if v is not None and not drawable(v, scale) and v == v]
    known = [v for v in values if v is not None and v == v]
    return odd[0] if odd else max(known, default=None)


def kind_of(value: float | None, low: float, high: float, scale: str) -> str:
    """The color of a value, or the class of what has none: zero, infinite; empty where nothing was measured."""
    if value is None or math.isnan(value):
        return ""
    if not drawable(value, scale):
        return "bad" if math.isinf(value) else "zero"
    if high <= low:
        return shade(0.5)
    if scale == "log":
        value, low, high = math.log10(value), math.log10(low), math.log10(high)
    return shade((value - low) / (high - low))


def shade(share: float) -> str:
    """One of 28 colors.

    >>> shade(0.0), shade(1.0)
    ('#440154', '#fde725')
    """
    place = round(share * (SHADES - 1)) / (SHADES - 1) * (len(STOPS) - 1)
    below = min(int(place), len(STOPS) - 2)
    channels = (
        (int(STOPS[below][k : k + 2], 16), int(STOPS[below + 1][k : k + 2], 16), place - below) for k in (0, 2, 4)
    )
    return "#" + "".join(f"{round(a + (b - a) * t):02x}" for a, b, t in channels)


def runs(kinds: Sequence[str]) -> list[tuple[int, int]]:
    """Stretches of equal neighbors, as begin and end."""
    edges = [0, *(i for i in range(1, len(kinds)) if kinds[i] != kinds[i - 1]), len(kinds)]
    return list(pairwise(edges))


def special(values: Sequence[Sequence[float]], scale: str) -> list[tuple[str, str]]:
    """The classes that need a word in the legend."""
    kinds = {kind_of(v, 1, 1, scale) for row in values for v in row if not drawable(v, scale)}
    zero = "zero" if all(v >= 0 for row in values for v in row if v is not None and v == v) else "not above 0"
    return [(k, text) for k, text in (("zero", zero), ("bad", "infinite")) if k in kinds]


def color_legend(low: float, high: float, y_label: str, others: Sequence[tuple[str, str]]) -> tuple[list[str], float]:
    """The name, then the colors between their ends; in a second row where there is no room."""
    y = LINE / 2 + 2
    ends = power_text(float(f"{low:.1e}")), power_text(float(f"{high:.1e}"))
    need = width_of("".join(ends)) + SHADES * 3 + 12 + sum(width_of(text) + 26 for _, text in others)
    parts = [label(0, y, y_label, cls="axis")] if y_label else []
    if y_label and width_of(y_label) + 14 + need > WIDTH:
        y += LINE
    x = WIDTH - need - 2
    for kind, text in others:
        parts += [tag("rect", x=x, y=y - 5, width=10.0, height=10.0, class_=kind), label(x + 14, y, text)]
        x += width_of(text) + 26
    parts.append(label(x + width_of(ends[0]), y, ends[0], anchor="end"))
    x += width_of(ends[0]) + 6
    parts += [
        tag("rect", x=x + 3 * k, y=y - 5, width=3.4, height=10.0, fill=shade(k / (SHADES - 1))) for k in range(SHADES)
    ]
    parts.append(label(x + 3 * SHADES + 6, y, ends[1]))
    return parts, y + LINE / 2 + 4


def column_axis(columns: Sequence[float], left: float, width: float, bottom: float, x_label: str) -> list[str]:
    """The steps of a few columns, at their left edges."""
    parts, free = [], left
    for k, step in enumerate(columns):
        text = number(int(step) if step == int(step) else step)
        x = left + (k + 0.5) * width
        half = width_of(text) / 2
        if x - half >= free - 6 and x + half <= WIDTH:
            parts += [
                tag("path", d=f"M{at(x)} {at(bottom)}v4", class_="tick"),
                label(x, bottom + LINE, text, anchor="middle"),
            ]
            free = x + half + max(30.0, (WIDTH - left) / 6)
    return [*parts, label((left + WIDTH) / 2, bottom + 2 * LINE, x_label, anchor="middle")]

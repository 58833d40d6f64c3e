"""What surrounds the curves: axes with ticks, the legend, and vertical lines that mark what was found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from thalweg.show.charts.scales import Kind, Scale
from thalweg.show.charts.svg import LINE, WIDTH, at, drawing, label, shorten, tag, visible, width_of

COLORS = 6  # in the style sheet; further series repeat them with a dashed line
MARKER_ROWS = 3
RIGHT = 8.0


@dataclass(frozen=True, slots=True)
class Marker:
    """A vertical line at x, with a short label above: a finding's code.

    `kind` is `"error"`, `"warning"`, `"note"`, `"suspicion"` or `"best"`, and decides the color. `text` is shown where
    a pointer rests on it.
    """

    x: float
    label: str
    kind: Literal["error", "warning", "note", "suspicion", "best"] = "note"
    text: str = ""


@dataclass(frozen=True)
class Frame:
    """Scales to draw with, the parts that surround, and the height of the whole."""

    x: Scale
    y: Scale
    behind: list[str]
    before: list[str]
    height: float

    def drawing(self, kind: str, title: str, description: str, *parts: str) -> str:
        return drawing(kind, title, description, self.height, *self.behind, *parts, *self.before)


def make_frame(
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    *,
    x_kind: Kind = "linear",
    y_kind: Kind = "linear",
    x_label: str,
    y_label: str,
    names: Sequence[str] = (),
    markers: Sequence[Marker] = (),
    whole: bool = False,
    plot_height: float | None = 170.0,
) -> Frame:
    """Lays the chart out from top to bottom: legend, labels of markers, plot, ticks, name of the axis.

    Without a height the plot is a square.
    """
    keys, top = legend(y_label, names)
    y_ticks = Scale(*y_range, 0, 1, y_kind).ticks(5)
    left = max(width_of(text) for _, text in y_ticks) + 11 if y_ticks else 11.0
    x = Scale(*x_range, left, WIDTH - RIGHT, x_kind)
    marks, rows = place_markers(markers, x)
    top += rows * LINE + 7
    bottom = top + (x.end - x.start if plot_height is None else plot_height)
    y = Scale(*y_range, bottom, top, y_kind)
    behind = [
        *keys,
        tag("path", d="".join(f"M{at(left)} {at(y(v))}H{at(WIDTH - RIGHT)}" for v, _ in y_ticks), class_="grid"),
    ]
    behind += [label(left - 6, y(v), text, anchor="end") for v, text in y_ticks]
    behind += x_axis(x, bottom, whole)
    behind.append(label((left + WIDTH - RIGHT) / 2, bottom + 2.1 * LINE, x_label, anchor="middle"))
    before = [draw_marker(m, x(m.x), row, top, bottom, rows, side) for m, row, side in marks]
    return Frame(x, y, behind, before, bottom + 2.8 * LINE)


def legend(y_label: str, names: Sequence[str]) -> tuple[list[str], float]:
    """The name of the y axis, then the series with their lines, in as many rows as they need; and where they end."""
    parts, x, y = [], 0.0, LINE / 2 + 2
    if y_label:
        parts.append(label(0, y, y_label, cls="axis"))
        x = width_of(y_label) + 14
    for index, name in enumerate(names):
        name = shorten(name, WIDTH - 30)
        if x + 20 + width_of(name) > WIDTH and x > 0:
            x, y = 0.0, y + LINE
        parts.append(tag("path", d=f"M{at(x)} {at(y)}h14", class_=series_class(index)))
        parts.append(label(x + 19, y, name, cls="name"))
        x += 19 + width_of(name) + 14
    return parts, y + LINE / 2 if parts else 2.0


def series_class(index: int) -> str:
    return f"line s{index % COLORS + 1}" + (" again" if index >= COLORS else "")


def x_axis(x: Scale, bottom: float, whole: bool) -> list[str]:
    """As many ticks as fit beside one another."""
    for count in (6, 5, 4, 3, 2):
        ticks = x.ticks(count, whole=whole)
        widest = max((width_of(text) for _, text in ticks), default=0)
        if len(ticks) * (widest + 12) <= x.end - x.start:
            break
    parts = [tag("path", d="".join(f"M{at(x(v))} {at(bottom)}v4" for v, _ in ticks), class_="tick")] if ticks else []
    for value, text in ticks:
        place, half = x(value), width_of(text) / 2
        place = min(max(place, half), WIDTH - half)  # a label at the edge stays inside
        parts.append(label(place, bottom + LINE, text, anchor="middle"))
    return [tag("path", d=f"M{at(x.start)} {at(bottom)}H{at(x.end)}", class_="tick"), *parts]


def place_markers(markers: Sequence[Marker], x: Scale) -> tuple[list[tuple[Marker, int, int]], int]:
    """Each marker with its row and the side of its label (1 right, -1 left, 0 none), and how many rows there are.

    No label covers another or a line; where no row has room, the line stands without a label.
    """
    inside = [m for m in markers if x.takes(m.x) and x.low <= m.x <= x.high]
    unique = {(round(x(m.x)), m.label): m for m in sorted(inside, key=lambda m: m.x)}
    labels: list[tuple[int, float, float]] = []  # row, begin and end of what is written
    lines: list[tuple[int, float]] = []  # the first row of a line, and its place
    placed = []
    for marker in unique.values():
        place, width = x(marker.x), width_of(marker.label) + 6
        side = 1 if place + width <= WIDTH else -1
        begin, end = (place + 2, place + width) if side > 0 else (place - width, place - 2)
        row = next((r for r in range(MARKER_ROWS) if fits(r, place, begin, end, labels, lines)), None)
        if row is None:
            placed.append((marker, MARKER_ROWS, 0))
            continue
        labels.append((row, begin, end))
        lines.append((row, place))
        placed.append((marker, row, side))
    return placed, max((row + 1 for _, row, side in placed if side), default=0)


def fits(
    row: int,
    place: float,
    begin: float,
    end: float,
    labels: list[tuple[int, float, float]],
    lines: list[tuple[int, float]],
) -> bool:
    """Whether a label in this row, and the line from this row down, cross nothing that is there."""
    free = all(r != row or end <= a or b <= begin for r, a, b in labels)
    uncrossed = all(r > row or not begin <= line <= end for r, line in lines)
    return free and uncrossed and all(r < row or not a <= place <= b for r, a, b in labels)


def draw_marker(marker: Marker, x: float, row: int, top: float, bottom: float, rows: int, side: int) -> str:
    y = top - (rows - row) * LINE if side else top
    parts = [tag("title", visible(marker.text))] if marker.text else []
    parts.append(tag("path", d=f"M{at(x)} {at(y)}V{at(bottom)}"))
    if side:
        parts.append(label(x + 4 * side, y + LINE / 2, marker.label, anchor="start" if side > 0 else "end"))
    return tag("g", *parts, class_=f"marker {marker.kind}")

"""Curves: over the steps of a training, or of one quantity against another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from thalweg.show.charts.frame import Frame, Marker, make_frame, series_class
from thalweg.show.charts.scales import Kind, reach, widened
from thalweg.show.charts.svg import at, nothing, path, tag
from thalweg.show.charts.thin import POINTS, thin, thin_band
from thalweg.show.text import number

DOTS = 30  # values that are still marked one by one


@dataclass(frozen=True, slots=True)
class Series:
    """One curve.

    Args:
        name: for the legend.
        x: abscissae, ascending for a line.
        y: ordinates, as many; what is not finite leaves a gap.
        low: lower ends of a band around the curve (of error bars around points), or empty.
        high: upper ends.
        look: `"line"`; `"step"`, which keeps a value until the next; or `"points"`.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    look: Literal["line", "step", "points"] = "line"


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str = "",
    x_scale: Kind = "linear",
    y_scale: Kind = "linear",
    markers: Sequence[Marker] = (),
    healthy: tuple[float, float] | None = None,
) -> str:
    """Curves over a common abscissa, such as the step.

    Args:
        series: what to draw; together at most about 2,000 points, chosen so that every spike stays.
        title: what it shows, for a screen reader.
        x_label: under the axis.
        y_label: above the axis.
        x_scale: `"log"` leaves out what is not above 0.
        y_scale: the same.
        markers: vertical lines with labels.
        healthy: a shaded range of y.

    >>> chart = line_chart([Series("train", [0, 1, 2], [2.3, 0.9, 0.5])], title="Loss by epoch", x_label="epoch")
    >>> chart.startswith("<svg"), "train" in chart
    (True, True)
    """
    values = [v for s in series for v in (*s.y, *s.low, *s.high)]
    x_range, y_range = reach((v for s in series for v in s.x), x_scale), reach(values, y_scale)
    if x_range is None or y_range is None:
        return nothing("lines", title)
    frame = make_frame(
        x_range if x_range[0] < x_range[1] else widened(*x_range, x_scale),
        widened(*y_range, y_scale),
        x_kind=x_scale,
        y_kind=y_scale,
        x_label=x_label,
        y_label=y_label,
        names=[s.name for s in series] if len(series) > 1 else [],
        markers=markers,
        whole=x_scale == "linear" and all(v == v // 1 for s in series for v in s.x),
    )
    shade = [healthy_range(frame, *healthy)] if healthy else []
    return frame.drawing("lines", title, describe(series), *shade, *draw(frame, series))


def xy_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
) -> str:
    """One quantity against another in a square: ROC, precision and recall, reliability, predicted and true values.

    Args:
        series: what to draw.
        title: what it shows, for a screen reader.
        x_label: under the axis.
        y_label: above the axis.
        x_range: the ends of the axis; by default what the values need.
        y_range: the same.
        diagonal: draws the line x = y: chance in a ROC, perfection in a reliability diagram.

    >>> roc = Series("ROC", [0, 0, 0.1, 1], [0, 0.8, 1, 1])
    >>> "diagonal" in xy_chart([roc], title="ROC", x_label="FPR", y_label="TPR", x_range=(0, 1), diagonal=True)
    True
    """
    xs = x_range or reach((v for s in series for v in s.x), "linear")
    ys = y_range or reach((v for s in series for v in (*s.y, *s.low, *s.high)), "linear")
    if xs is None or ys is None:
        return nothing("xy", title)
    frame = make_frame(
        x_range or widened(*xs, "linear"),
        y_range or widened(*ys, "linear"),
        x_label=x_label,
        y_label=y_label,
        names=[s.name for s in series] if len(series) > 1 else [],
        plot_height=None,
    )
    return frame.drawing(
        "xy", title, describe(series), *([draw_diagonal(frame)] if diagonal else []), *draw(frame, series)
    )


def draw(frame: Frame, series: Sequence[Series]) -> list[str]:
    """Bands first, so that they cover no curve."""
    count = max(POINTS // len(series), 20)
    bands = [draw_band(frame, s, i, count) for i, s in enumerate(series) if s.low and s.look != "points"]
    curves = [
        draw_points(frame, s, i, count) if s.look == "points" else draw_line(frame, s, i, count)
        for i, s in enumerate(series)
    ]
    return bands + curves


def draw_line(frame: Frame, series: Series, index: int, count: int) -> str:
    points = thin(*visible_values(frame, series), count)
    places = [p and (frame.x(p[0]), frame.y(p[1])) for p in points]
    line = steps(places) if series.look == "step" else places
    curve = tag("path", d=path(line), class_=series_class(index))
    if len(points) > DOTS or series.look == "step":
        return curve
    dots = "".join(f"M{at(p[0])} {at(p[1])}h0" for p in places if p)  # few values are seen as values
    return curve + tag("path", d=dots, class_=f"{series_class(index)} dots")


def draw_points(frame: Frame, series: Series, index: int, count: int) -> str:
    every = max(1, len(series.x) // count)
    dots, bars = "", ""
    for k in range(0, len(series.x), every):
        x, y = series.x[k], series.y[k]
        if not (frame.x.takes(x) and frame.y.takes(y)):
            continue
        dots += f"M{at(frame.x(x))} {at(frame.y(y))}h0"
        if series.low:
            bars += f"M{at(frame.x(x))} {at(frame.y(series.low[k]))}V{at(frame.y(series.high[k]))}"
    error = tag("path", d=bars, class_=series_class(index)) if bars else ""
    return error + tag("path", d=dots, class_=series_class(index) + (" dots" if len(series.x) <= 60 else " fine dots"))


def draw_band(frame: Frame, series: Series, index: int, count: int) -> str:
    x, low = visible_values(frame, series, series.low)
    _, high = visible_values(frame, series, series.high)
    outlines = [
        path([(frame.x(a), frame.y(b)) for a, b in outline]) + "Z" for outline in thin_band(x, low, high, count)
    ]
    return tag("path", d="".join(outlines), class_=f"band s{index % 6 + 1}")


def visible_values(
    frame: Frame, series: Series, values: Sequence[float] | None = None
) -> tuple[list[float], list[float]]:
    """The values, with NaN where the scale cannot show one."""
    y = series.y if values is None else values
    nan = float("nan")
    return [v if frame.x.takes(v) else nan for v in series.x], [v if frame.y.takes(v) else nan for v in y]


def steps(points: list[tuple[float, float] | None]) -> list[tuple[float, float] | None]:
    stairs: list[tuple[float, float] | None] = []
    for before, point in zip([None, *points], points, strict=False):
        if before and point:
            stairs.append((point[0], before[1]))
        stairs.append(point)
    return stairs


def healthy_range(frame: Frame, low: float, high: float) -> str:
    """The part of the range that is in sight."""
    low, high = max(low, frame.y.low), min(high, frame.y.high)
    if low >= high:
        return ""
    top, bottom = frame.y(high), frame.y(low)
    x, width = frame.x.start, frame.x.end - frame.x.start
    return tag("rect", x=x, y=top, width=width, height=bottom - top, class_="healthy")


def draw_diagonal(frame: Frame) -> str:
    low, high = max(frame.x.low, frame.y.low), min(frame.x.high, frame.y.high)
    if low >= high:
        return ""
    return tag("path", d=path([(frame.x(low), frame.y(low)), (frame.x(high), frame.y(high))]), class_="diagonal")


def describe(series: Sequence[Series]) -> str:
    """One sentence per curve: where it begins, ends, and reaches."""
    sentences = []
    for s in series:
        y = [v for v in s.y if abs(v) < float("inf")]
        if y:
            first, last, low, high = (number(float(v)) for v in (y[0], y[-1], min(y), max(y)))
            sentences.append(f"{s.name}: {len(s.y):,} values from {first} to {last}, between {low} and {high}.")
    return " ".join(sentences)

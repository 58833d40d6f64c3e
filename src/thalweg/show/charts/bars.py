"""Bars: amounts by name, and how often values occur."""

from collections.abc import Sequence

from thalweg.show.charts.frame import make_frame
from thalweg.show.charts.svg import WIDTH, at, drawing, finite, label, nothing, shorten, tag, visible, width_of
from thalweg.show.text import number

ROW = 18.0


def bar_chart(names: Sequence[str], values: Sequence[float], *, title: str, texts: Sequence[str] = ()) -> str:
    """A horizontal bar for each name, as long as its value, which must not be negative.

    Args:
        names: from top to bottom.
        values: as many, at least 0.
        title: what it shows, for a screen reader.
        texts: what stands at the end of each bar; by default its value.

    >>> "1,200" in bar_chart(["yes", "no"], [1200, 40], title="Rows by class")
    True
    """
    known = finite(values)
    if not known:
        return nothing("bars", title)
    texts = texts or [number(int(v) if v == v // 1 else v) for v in values]
    left = min(max(map(width_of, names)) + 8, WIDTH * 0.35)
    unit = (WIDTH - left - max(map(width_of, texts)) - 8) / (max(known) or 1)
    parts = []
    for i, (name, value, text) in enumerate(zip(names, values, texts, strict=True)):
        length = value * unit if finite([value]) else 0.0
        y = (i + 0.5) * ROW
        bar = tag("rect", x=left, y=y - ROW / 2 + 2, width=length, height=ROW - 4, class_="bar s1")
        said = tag("title", visible(f"{name}: {text}"))
        name_label = label(left - 8, y, shorten(name, left - 8), anchor="end", cls="name")
        parts.append(tag("g", said, name_label, bar, label(left + length + 6, y, text)))
    said = " ".join(f"{name}: {text}." for name, text in zip(names, texts, strict=True))
    return drawing("bars", title, said, len(names) * ROW, *parts)


def histogram(edges: Sequence[float], counts: Sequence[float], *, title: str, x_label: str, y_label: str = "") -> str:
    """How often values fall between neighboring edges.

    Args:
        edges: one more than counts, ascending.
        counts: at least 0.
        title: what it shows, for a screen reader.
        x_label: under the axis.
        y_label: above the axis.

    >>> histogram([0, 1, 2], [3, 5], title="Errors", x_label="error").count("<rect")
    2
    """
    if not any(counts):
        return nothing("histogram", title, "no values")
    frame = make_frame((edges[0], edges[-1]), (0.0, max(counts) * 1.05), x_label=x_label, y_label=y_label)
    bars = []
    for begin, end, count in zip(edges, edges[1:], counts, strict=False):
        x, y = frame.x(begin), frame.y(count)
        said = tag("title", visible(f"{number(float(begin))} to {number(float(end))}: {number(count)}"))
        place = {"x": x, "y": y, "width": max(frame.x(end) - x - 0.5, 0.3), "height": frame.y(0) - y}
        bars.append(tag("rect", said, **place, class_="bar s1"))
    said = f"{number(sum(counts))} values between {at(edges[0])} and {at(edges[-1])}."
    return frame.drawing("histogram", title, said, *bars)

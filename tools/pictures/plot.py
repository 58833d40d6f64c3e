"""Charts of `thalweg.show.charts` as standalone SVG texts, for pages outside of a report.

Style and colors are inside, on a white ground, so that a picture reads alike in an `<img>`, on a light and on a dark
page. The text depends on the numbers alone, and coordinates have one decimal: drawn again, it is the same.

    from pictures.plot import bars, curves, row  # in tools/pictures/<family>.py, as tools/reference.py runs it

    curves([("ReLU", x, y), ("derivative", x, slope)], "ReLU and its derivative", "input")
    row(curves(...), bars(...))
"""

import re
from collections.abc import Sequence
from html import unescape
from typing import Any, Literal

from thalweg.show import charts
from thalweg.show.charts import Marker, Series
from thalweg.show.charts.svg import at, tag, visible

Triple = tuple[str, Any, Any]  # name for the legend, abscissae, ordinates: sequences of numbers, arrays or tensors
Look = Literal["line", "step", "points"]
Kind = Literal["linear", "log"]
Range = tuple[float, float]

MARGIN, HEAD = 12.0, 20.0  # around a panel, and the height of its title
ENLARGED = 1.3  # pixels per unit of a single panel: its 11-unit labels are then 14 pixels high
STYLE = re.sub(r"/\*.*?\*/|@media.*|\n", "", charts.STYLE.read_text(encoding="utf-8")) + (
    ".chart .heading{font-size:12px;font-weight:600;fill:#1d1f21}"
)


def curves(
    series: Sequence[Triple],
    title: str,
    x_label: str,
    y_label: str = "",
    *,
    x_scale: Kind = "linear",
    y_scale: Kind = "linear",
    y_range: Range | None = None,
    look: Look = "line",
    markers: Sequence[Marker] = (),
    healthy: Range | None = None,
) -> str:
    """Curves over a common abscissa, each `(name, x, y)`; up to 30 values are marked as dots too.

    Args:
        series: what to draw.
        title: above the chart.
        x_label: under the axis.
        y_label: above the axis, before the legend.
        x_scale: "log" leaves out what is not above 0.
        y_scale: the same.
        y_range: values outside leave a gap.
        look: "step" keeps a value until the next.
        markers: vertical lines with labels.
        healthy: a shaded range of y.
    """
    drawn = [Series(name, numbers(x), inside(numbers(y), y_range), look=look) for name, x, y in series]
    return standalone(
        charts.line_chart(
            drawn,
            title=title,
            x_label=x_label,
            y_label=y_label,
            x_scale=x_scale,
            y_scale=y_scale,
            markers=markers,
            healthy=healthy,
        ),
        title,
    )


def points(
    series: Sequence[Triple],
    title: str,
    x_label: str,
    y_label: str,
    *,
    lines: Sequence[Triple] = (),
    x_range: Range | None = None,
    y_range: Range | None = None,
    diagonal: bool = False,
) -> str:
    """A square with points, each series `(name, x, y)`, and lines of any course over them, such as trajectories."""
    drawn = [Series(name, numbers(x), numbers(y), look="points") for name, x, y in series]
    drawn += [Series(name, numbers(x), numbers(y)) for name, x, y in lines]
    square = charts.xy_chart(
        drawn, title=title, x_label=x_label, y_label=y_label, x_range=x_range, y_range=y_range, diagonal=diagonal
    )
    return standalone(square, title)


def bars(names: Sequence[str], values: Any, title: str, *, texts: Sequence[str] = ()) -> str:
    """A horizontal bar per name, as long as its value (at least 0); `texts` at the ends, by default the values."""
    return standalone(charts.bar_chart(names, numbers(values), title=title, texts=texts), title)


def histogram(edges: Any, counts: Any, title: str, x_label: str, y_label: str = "") -> str:
    """How often values fall between neighboring edges."""
    drawn = charts.histogram(numbers(edges), numbers(counts), title=title, x_label=x_label, y_label=y_label)
    return standalone(drawn, title)


def heat(
    names: Sequence[str],
    columns: Any,
    values: Any,
    title: str,
    x_label: str,
    y_label: str = "",
    *,
    scale: Kind = "linear",
) -> str:
    """`values[row][column]` as colors; `y_label` says what the color means."""
    rows = [numbers(row) for row in values]
    drawn = charts.heat_map(names, numbers(columns), rows, title=title, x_label=x_label, y_label=y_label, scale=scale)
    return standalone(drawn, title)


def row(*pictures: str) -> str:
    """Pictures side by side, each with its title."""
    return framed([panel for picture in pictures for panel in panels(picture)])


def standalone(chart: str, title: str) -> str:
    """A chart of `thalweg.show.charts` as a picture of its own."""
    found = re.fullmatch(r'<svg [^>]*viewBox="0 0 (\S+) (\S+)" class="([^"]*)"[^>]*>(.*)</svg>', chart, re.DOTALL)
    assert found is not None
    width, height, look, inner = found.groups()
    inner = re.sub(r"^<title>.*?</title>", "", inner)  # it is written above
    heading = tag("text", visible(title), class_="heading", y=11.0)
    body = tag("g", inner, transform=f"translate(0 {at(HEAD)})", class_=look)
    return framed([(float(width), float(height) + HEAD, title, heading + body)])


Panel = tuple[float, float, str, str]  # width, height, title, elements


def framed(drawn: Sequence[Panel]) -> str:
    """The whole picture. A comment before each panel keeps its size and title, so that `row` finds it again."""
    width = sum(w for w, *_ in drawn) + 2 * MARGIN * len(drawn)
    height = max(h for _, h, *_ in drawn) + 2 * MARGIN
    scale = ENLARGED if len(drawn) == 1 else 1.0
    parts, x = [], MARGIN
    for w, h, title, elements in drawn:
        place = f"translate({at(x)} {at(MARGIN)})"
        parts.append(f"<!--{at(w)} {at(h)} {visible(title).replace('--', '––')}-->")
        parts.append(tag("g", elements, class_="chart", transform=place))
        x += w + 2 * MARGIN
    return (
        tag(
            "svg",
            tag("title", visible("; ".join(title for _, _, title, _ in drawn))),
            tag("style", STYLE),
            tag("rect", width=width, height=height, rx=6.0, fill="#fff"),
            *parts,
            xmlns="http://www.w3.org/2000/svg",
            width=round(width * scale, 0),
            height=round(height * scale, 0),
            viewBox=f"0 0 {at(width)} {at(height)}",
            role="img",
        )
        + "\n"
    )


def panels(picture: str) -> list[Panel]:
    """The panels that a picture was made of."""
    found = re.findall(
        r'<!--(\S+) (\S+) (.*?)--><g class="chart" transform="translate[^"]*">(.*?)</g>(?=<!--|</svg>)',
        picture,
        re.DOTALL,
    )
    assert found, "not a picture of this module"
    return [(float(width), float(height), unescape(title), elements) for width, height, title, elements in found]


def numbers(values: Any) -> list[float]:
    return [float("nan") if value is None else float(value) for value in values]


def inside(values: list[float], limits: Range | None) -> list[float]:
    """The values, with NaN in the place of those out of range."""
    if limits is None:
        return values
    return [value if limits[0] <= value <= limits[1] else float("nan") for value in values]

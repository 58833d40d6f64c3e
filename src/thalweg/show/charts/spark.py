"""A curve as large as a word, for a line of text or a cell of a table."""

from collections.abc import Sequence

from thalweg.show.charts.scales import reach
from thalweg.show.charts.svg import drawing, path, tag
from thalweg.show.charts.thin import thin

WIDTH, HEIGHT, MARGIN = 100.0, 24.0, 3.0


def sparkline(values: Sequence[float], *, title: str) -> str:
    """The values as a line without axes, with a dot at the last; empty where nothing is finite.

    >>> sparkline([3.0, 2.0, 1.0], title="loss").count("<path"), sparkline([], title="loss")
    (2, '')
    """
    extent = reach(values, "linear")
    if extent is None:
        return ""
    low, high = extent
    unit = (HEIGHT - 2 * MARGIN) / ((high - low) or 1)
    step = (WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)
    points = [
        p and (MARGIN + p[0] * step, HEIGHT - MARGIN - (p[1] - low) * unit)
        for p in thin(range(len(values)), values, 200)
    ]
    last = next(p for p in reversed(points) if p)
    curve = tag("path", d=path(points), class_="line s1")
    return drawing("spark", title, "", HEIGHT, curve, tag("path", d=path([last]), class_="line s1 dots"), width=WIDTH)

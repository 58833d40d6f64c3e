"""Fewer points that look the same: every spike stays."""

import math
from collections.abc import Sequence
from itertools import pairwise

POINTS = 2000  # in one chart; more cannot be seen, and would make the page heavy

Point = tuple[float, float]


def thin(x: Sequence[float], y: Sequence[float], count: int) -> list[Point | None]:
    """At most about `count` points: the lowest and the highest of each of `count / 2` stretches; None is a gap.

    What is not finite leaves a gap, also where it is one value of a long stretch.

    >>> thin([0, 1, 2, 3], [1.0, float("nan"), 2.0, 5.0], 10)
    [(0, 1.0), None, (2, 2.0), (3, 5.0)]
    >>> len(thin(range(100_000), [0.0] * 99_999 + [9.0], 2000)), thin(range(100_000), [0.0] * 99_999 + [9.0], 2000)[-1]
    (2000, (99999, 9.0))
    """
    points = [(a, b) if math.isfinite(a) and math.isfinite(b) else None for a, b in zip(x, y, strict=True)]
    if len(points) <= count:
        return points
    kept: list[Point | None] = []
    for begin, end in stretches(len(points), max(count // 2, 1)):
        known = [(p[1], i) for i, p in enumerate(points[begin:end], begin) if p is not None]
        if known:
            kept += [points[i] for i in sorted({min(known)[1], max(known)[1]})]
        if len(known) < end - begin:
            kept.append(None)
    return [*(points[:1] if points[0] != kept[0] else []), *kept, *(points[-1:] if points[-1] != kept[-1] else [])]


def thin_band(x: Sequence[float], low: Sequence[float], high: Sequence[float], count: int) -> list[list[Point]]:
    """The outlines of a band, closed polygons between gaps; each stretch reaches from its lowest to its highest."""
    pieces: list[list[tuple[float, float, float]]] = [[]]
    rows = list(zip(x, low, high, strict=True))
    for begin, end in stretches(len(rows), min(max(count // 2, 1), len(rows))):
        known = [row for row in rows[begin:end] if all(map(math.isfinite, row))]
        if known:
            middle = known[len(known) // 2][0]
            pieces[-1].append((middle, min(r[1] for r in known), max(r[2] for r in known)))
        elif pieces[-1]:
            pieces.append([])
    return [[(a, b) for a, b, _ in piece] + [(a, c) for a, _, c in reversed(piece)] for piece in pieces if piece]


def stretches(length: int, count: int) -> list[tuple[int, int]]:
    """`count` stretches of equal length, as begin and end."""
    edges = [k * length // count for k in range(count + 1)]
    return list(pairwise(edges))

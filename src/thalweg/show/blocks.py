"""A curve in one line of block characters."""

import math
from collections.abc import Sequence
from itertools import pairwise

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.-=+*%#"


def sparkline(values: Sequence[float], *, width: int, unicode: bool = True) -> str:
    """The values as blocks between the smallest and the largest; `x` marks what is not finite.

    >>> sparkline([4.0, 2.0, 1.0, float("nan")], width=10), sparkline([1, 2], width=4, unicode=False)
    ('█▃▁x', '_#')
    """
    signs = BLOCKS if unicode else ASCII_BLOCKS
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0) or 1.0
    points = thinned([v / largest for v in values], width)
    finite = [v for v in points if math.isfinite(v)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    span = high - low or 1.0
    top = len(signs) - 1  # the quotient comes first: top / span is infinite where the span is tiny
    return "".join(signs[math.floor((v - low) / span * top + 0.5)] if math.isfinite(v) else "x" for v in points)


def thinned(values: Sequence[float], count: int) -> list[float]:
    """At most `count` values: the means of equal stretches, with the first and the last as they are."""
    if len(values) <= count:
        return list(values)
    edges = [round(k * len(values) / count) for k in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    return [values[0], *means[1:-1], values[-1]]

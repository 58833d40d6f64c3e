"""Student's t for whole degrees of freedom, exactly, without scipy."""

import math
from functools import lru_cache


def two_sided(t: float, degrees: int) -> float:
    """P(|T| ≥ |t|) for Student's T.

    Args:
        t: the statistic; may be infinite.
        degrees: of freedom, at least 1.

    Source: Abramowitz and Stegun 26.7.3 and 26.7.4, finite sums in the angle arctan(t / √ν). What is left of 1 is
    computed to about 1e-15, so smaller probabilities are 0.

    >>> round(two_sided(2.7764451, 4), 6)  # tables: 0.05
    0.05
    """
    angle = math.atan2(abs(t), math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, total = (cosine, cosine) if odd else (1.0, 1.0)
    for k in range(2 + odd, degrees - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    if odd:
        within = 2 / math.pi * (angle + (sine * total if degrees > 1 else 0.0))
    else:
        within = sine * total
    return max(1 - within, 0.0)


@lru_cache
def quantile(p: float, degrees: int) -> float:
    """The t with P(T ≤ t) = p, for p from 0.5 to below 1.

    >>> round(quantile(0.975, 4), 4), round(quantile(0.975, 1), 4)
    (2.7764, 12.7062)
    """
    low, high = 0.0, 1.0
    while 1 - two_sided(high, degrees) / 2 < p:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - two_sided(middle, degrees) / 2 < p else (low, middle)
    return (low + high) / 2

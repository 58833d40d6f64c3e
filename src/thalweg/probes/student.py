"""Student's t: the interval and the significance of a mean of few differences, without SciPy."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Difference:
    """A mean difference with its 95 % interval.

    `below` is the probability, if nothing differs, of a mean at least this far below 0.
    """

    mean: float
    low: float
    high: float
    below: float


def tail(t: float, freedom: int) -> float:
    """P(T > t) of Student's t with an integer number of degrees of freedom, in closed form.

    >>> round(tail(2.776, 4), 4), tail(0.0, 7)
    (0.025, 0.5)

    Source: Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(freedom))
    term = total = math.cos(angle) if freedom % 2 else 1.0
    for k in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= math.cos(angle) ** 2 * (k - 1) / k
        total += term
    if freedom == 1:
        total = 0.0
    inside = 2 / math.pi * (angle + math.sin(angle) * total) if freedom % 2 else math.sin(angle) * total
    return (1 - inside) / 2


def quantile(probability: float, freedom: int) -> float:
    """The t with P(T > t) = `probability`, below 0.5, by bisection.

    >>> round(quantile(0.025, 15), 3)
    2.131
    """
    low, high = 0.0, 1.0
    while tail(high, freedom) > probability:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, freedom) > probability else (low, middle)
    return high


def paired(differences: Tensor) -> Difference:
    """The mean of paired differences `[repeats, blocks]`.

    Its variance has a share of the blocks, whose means over the repeats are taken to be independent, and from two
    repeats on a share of the repeats.

    >>> import torch
    >>> paired(torch.tensor([[1.0, 2.0, 3.0]])).low < 0 < paired(torch.tensor([[1.0, 1.1, 0.9]])).low
    True
    """
    mean = float(differences.mean())
    if not math.isfinite(mean):
        return Difference(mean, mean, mean, 1.0)
    repeats, blocks = differences.shape
    if blocks < 2:
        return Difference(mean, -math.inf, math.inf, 1.0)
    variance = float(differences.mean(0).var()) / blocks
    if repeats > 1:
        variance += float(differences.mean(1).var()) / repeats
    deviation = math.sqrt(variance)
    half = quantile(0.025, blocks - 1) * deviation
    below = tail(-mean / deviation, blocks - 1) if deviation > 0 else float(mean >= 0)
    return Difference(mean, mean - half, mean + half, below)

"""Closed-form 95 % intervals for proportions, means of proportions, F1 and mean losses.

Each was chosen because its simulated coverage holds where a test set is small and a network good, where the textbook's
`p ± 1.96 se` and the bootstrap collapse: 0 errors in 50 rows is no proof of perfection.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from torch import Tensor

Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Interval:
    """A 95 % interval, how it was found, and what to know about it; limits are None where there is none."""

    low: float | None
    high: float | None
    method: str
    note: str = ""


def no_interval(reason: str) -> Interval:
    return Interval(None, None, "", f"no interval: {reason}")


def wilson(successes: float, total: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion: the p with `(p̂ - p)^2 = z^2 p (1-p) / n`.

    Args:
        successes: from 0 to `total`.
        total: n, above 0; may be fractional (an effective size).

    Source: Wilson 1927; Brown, Cai and DasGupta 2001 recommend it.

    >>> [round(limit, 3) for limit in wilson(50, 50)]
    [0.929, 1.0]
    """
    share, tail = successes / total, Z**2 / total
    center = (share + tail / 2) / (1 + tail)
    half = math.sqrt(tail * (share * (1 - share) + tail / 4)) / (1 + tail)
    low = 0.0 if successes == 0 else center - half
    return low, 1.0 if successes == total else center + half


def mean_of_proportions(successes: Sequence[float], totals: Sequence[float]) -> tuple[float, float]:
    """Score interval of the plain mean of K proportions: balanced accuracy, macro recall, macro precision.

    The limits are the means `m` with `(m̂ - m)^2 = z^2 sum p_k (1-p_k) / n_k / K^2`, where the `p_k` are the most likely
    proportions whose mean is `m`. They solve `c p^2 - (n + c) p + x = 0` with one multiplier `c` for all, on which the
    search runs. With K = 1 this is Wilson's interval, with K = 2 that of Mee (1984); for K: Martín Andrés, Álvarez
    Hernández and Herranz Tejedor 2011. Wilson's effective sample size fails here where a class has few rows.

    Args:
        successes: K counts.
        totals: K row numbers, above 0; may be fractional.

    >>> [round(limit, 3) for limit in mean_of_proportions([9, 30], [10, 40])]
    [0.659, 0.903]
    """
    pairs = list(zip(successes, totals, strict=True))
    low = 0.0 if not any(successes) else score_limit(pairs, 1.0)
    return low, 1.0 if all(x == n for x, n in pairs) else score_limit(pairs, -1.0)


def score_limit(pairs: Sequence[tuple[float, float]], sign: float) -> float:
    """The constrained mean at which the score statistic reaches z^2: below the estimate for sign +1, above for -1."""
    count = len(pairs)
    mean = sum(x / n for x, n in pairs) / count

    def constrained(size: float) -> tuple[float, float]:
        """The mean of the constrained proportions, and its variance."""
        likely = [(constrained_proportion(x, n, sign * size), n) for x, n in pairs]
        return sum(p for p, _ in likely) / count, sum(p * (1 - p) / n for p, n in likely) / count**2

    def inside(size: float) -> bool:
        at, variance = constrained(size)
        return (mean - at) ** 2 <= Z**2 * variance

    return bisect(inside, lambda size: constrained(size)[0])


def constrained_proportion(x: float, n: float, c: float) -> float:
    """The root from 0 to 1 of `c p^2 - (n + c) p + x = 0`, in the form that does not cancel."""
    root = math.sqrt(max((n + c) ** 2 - 4 * c * x, 0.0))
    if n + c > 0:
        return 2 * x / (n + c + root)
    return (n + c - root) / (2 * c)


def bisect(inside: Callable[[float], bool], value: Callable[[float], float]) -> float:
    """`value` at the size, from 0 up, where `inside` turns false."""
    low, high = 0.0, 1.0
    while inside(high) and high < 1e15:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) else (low, middle)
    return value(high)


def f1_interval(true_positive: float, errors: float) -> tuple[float, float]:
    """Interval of one class's F1, `2 J / (1 + J)` at the limits of Wilson's interval for `J = TP / (TP + FP + FN)`.

    Of the rows that are positive or called positive, TP are both: a proportion, with which F1 grows.

    Args:
        true_positive: TP.
        errors: FP + FN.

    >>> [round(limit, 3) for limit in f1_interval(8, 4)]
    [0.562, 0.926]
    """
    low, high = wilson(true_positive, true_positive + errors)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def effective_rows(totals: Sequence[float]) -> float:
    """`K^2 / sum 1/n_k`: how many rows one proportion needs to be as certain as the mean of K equal ones."""
    return len(totals) ** 2 / sum(1 / total for total in totals)


def mean_interval(values: Tensor) -> tuple[float, float] | None:
    """Interval of the mean of skewed values (losses): Student's t after Hall's removal of its skewness.

    `mean - s/sqrt(n) g(±t)` with `g(t) = 3/c ((1 + c (t - c/6))^(1/3) - 1)` and `c = skewness / sqrt(n)`. It agrees
    with the studentized bootstrap to second order, without drawing. Source: Hall 1992, "On the removal of skewness by
    transformation". Few rows of a heavy tail remain few rows: a loss that no row shows cannot be bounded.

    Args:
        values: `[N]` float64.

    Returns:
        The limits; None with fewer than two rows or without variation.

    >>> import torch
    >>> values = torch.tensor([0.1, 0.2, 0.1, 1.0, 0.3, 0.4, 0.2, 0.1], dtype=torch.float64)  # mean 0.3
    >>> [round(limit, 2) for limit in mean_interval(values)]
    [0.12, 1.33]
    """
    n = len(values)
    if n < 2 or float(values.max() - values.min()) == 0:
        return None
    mean, deviation = float(values.mean()), float(values.std())
    c = float(((values - mean) / deviation).pow(3).mean()) / math.sqrt(n)

    def unskewed(t: float) -> float:
        if abs(c) < 1e-6:
            return t
        inner = 1 + c * (t - c / 6)
        return 3 / c * (math.copysign(abs(inner) ** (1 / 3), inner) - 1)

    scale, t = deviation / math.sqrt(n), student_quantile(n - 1)
    return mean - scale * unskewed(t), mean - scale * unskewed(-t)


def logit_limits(value: float, spread: float, reach: float = Z) -> tuple[float, float]:
    """`logistic(logit(v) ± reach s / (v (1-v)))`: limits within 0 to 1 of a value strictly between."""
    center, half = math.log(value / (1 - value)), reach * spread / (value * (1 - value))
    return logistic(center - half), logistic(center + half)


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def student_quantile(degrees: int) -> float:
    """The 0.975 quantile of Student's t: exact for 1 and 2 degrees, then the Cornish-Fisher series (error < 0.004).

    Source: Abramowitz and Stegun 26.7.5.

    >>> round(student_quantile(9), 3)  # tables: 2.262
    2.262
    """
    if degrees == 1:
        return math.tan(math.pi * 0.475)
    if degrees == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z, n = Z, degrees
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / n ** (k + 1) for k, term in enumerate(terms))

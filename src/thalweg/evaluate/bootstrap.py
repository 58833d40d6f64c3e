"""Bootstrap intervals for measures that have no closed form: resampled test rows, all replicates as one tensor."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from thalweg.evaluate.intervals import Interval, Z, no_interval

NORMAL = NormalDist()
CHUNK = 2**22  # weights at once: 32 MiB of float64
BUDGET = 10**8  # draws in all; beyond, the normal approximation is as good and a thousand times cheaper
ROUGH = 20  # rows below which simulated coverage falls under 0.93


@dataclass(frozen=True)
class Statistic:
    """A measure as a function of row weights.

    Args:
        function: weights `[R, N]` -> `[R]`, differentiable, unchanged when all weights are scaled.
        support: the number of rows that carry it: all rows, or the positive ones where those are few.
        unit: whether it lies from 0 to 1.
    """

    function: Callable[[Tensor], Tensor]
    support: int
    unit: bool = False


def bootstrap(
    statistics: Mapping[str, Statistic], *, num_rows: int, seed: int, replicates: int = 1000
) -> dict[str, Interval]:
    """95 % BCa intervals: each replicate draws N rows with replacement; all statistics see the same draws.

    The quantiles taken from the replicates are `Phi(z0 + (z0 + z) / (1 - a (z0 + z)))` with the bias `z0` (from the
    share of replicates below the estimate) and the acceleration `a = sum u^3 / (6 (sum u^2)^1.5)`, where `u` is the
    influence of each row, which is the gradient of the statistic by the row weights. For `z` stands
    `sqrt(n / (n-1)) t(n-1)`, since the bootstrap takes the spread for known. Source: Efron 1987; Hesterberg 2015.

    Args:
        statistics: by name.
        num_rows: N.
        seed: of the draws; the same seed gives the same interval.
        replicates: R; where R N exceeds 1e8, the interval is normal, with the infinitesimal jackknife's `sum u^2` as
            variance (on the logit scale for a statistic from 0 to 1).
    """
    estimates = {name: influence(s, num_rows) for name, s in statistics.items()}
    if replicates * num_rows > BUDGET:
        return {name: delta_interval(s, *estimates[name]) for name, s in statistics.items()}
    drawn: dict[str, list[Tensor]] = {name: [] for name in statistics}
    generator = torch.Generator().manual_seed(seed)
    for size in chunk_sizes(replicates, num_rows):
        weights = resample(size, num_rows, generator)
        for name, statistic in statistics.items():
            drawn[name].append(statistic.function(weights))
    return {name: bca_interval(s, *estimates[name], torch.cat(drawn[name])) for name, s in statistics.items()}


def chunk_sizes(replicates: int, num_rows: int) -> list[int]:
    size = max(1, CHUNK // num_rows)
    return [min(size, replicates - start) for start in range(0, replicates, size)]


def resample(replicates: int, num_rows: int, generator: torch.Generator) -> Tensor:
    """`[R, N]` float64: how often each row is drawn among N draws with replacement."""
    rows = torch.randint(num_rows, (replicates, num_rows), generator=generator)
    rows += torch.arange(replicates)[:, None] * num_rows
    return torch.bincount(rows.flatten(), minlength=replicates * num_rows).view(replicates, num_rows).double()


def influence(statistic: Statistic, num_rows: int) -> tuple[float, Tensor]:
    """The statistic on the rows as they are, and its gradient `[N]` by the row weights."""
    weights = torch.ones(1, num_rows, dtype=torch.float64, requires_grad=True)
    value = statistic.function(weights).sum()
    (gradient,) = torch.autograd.grad(value, weights)
    return float(value), gradient[0]


def bca_interval(statistic: Statistic, value: float, gradient: Tensor, drawn: Tensor) -> Interval:
    """The BCa interval of one statistic; none where the replicates do not vary."""
    drawn = drawn[drawn.isfinite()].sort().values  # a replicate without any positive row has no average precision
    spread = float(gradient.square().sum().sqrt())
    if statistic.support < 2 or len(drawn) < 2 or drawn[0] == drawn[-1] or spread == 0:
        return no_interval("the rows do not vary")
    share = float((drawn < value).sum() + (drawn == value).sum() / 2) / len(drawn)
    bias = NORMAL.inv_cdf(min(max(share, 1 / len(drawn)), 1 - 1 / len(drawn)))
    acceleration = float(gradient.pow(3).sum()) / (6 * spread**3)
    reach = math.sqrt(statistic.support / (statistic.support - 1)) * student_quantile(statistic.support - 1)

    def limit(z: float) -> float:
        level = NORMAL.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        return float(torch.quantile(drawn, level))

    note = f"only {statistic.support} rows carry it: the interval is rough" if statistic.support < ROUGH else ""
    return Interval(limit(-reach), limit(reach), "bootstrap (BCa)", note)


def delta_interval(statistic: Statistic, value: float, gradient: Tensor) -> Interval:
    """`value ± z sqrt(sum u^2)`, on the logit scale for a statistic strictly between 0 and 1."""
    spread = float(gradient.square().sum().sqrt())
    if spread == 0:
        return no_interval("the rows do not vary")
    if not (statistic.unit and 0 < value < 1):
        return Interval(value - Z * spread, value + Z * spread, "infinitesimal jackknife")
    return Interval(*logit_limits(value, spread), "infinitesimal jackknife (logit)")


def logit_limits(value: float, spread: float) -> tuple[float, float]:
    """`logistic(logit(v) ± z s / (v (1-v)))`: an interval that stays within 0 to 1."""
    center, half = math.log(value / (1 - value)), Z * spread / (value * (1 - value))
    return 1 / (1 + math.exp(half - center)), 1 / (1 + math.exp(-half - center))


def student_quantile(degrees: int) -> float:
    """The 0.975 quantile of Student's t, by the Cornish-Fisher series (Abramowitz and Stegun 26.7.5); exact for 1 and 2.

    >>> round(student_quantile(9), 3)  # tables: 2.262
    2.262
    """
    if degrees == 1:
        return math.tan(math.pi * 0.475)
    if degrees == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z, n = Z, degrees
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4)
    )


def weighted_mean(values: Tensor) -> Callable[[Tensor], Tensor]:
    """The mean of `[N]` values as a function of row weights."""
    return lambda weights: weights @ values / weights.sum(1)

"""Bootstrap intervals for measures that have no closed form: resampled test rows, all replicates as one tensor."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist

import torch
from torch import Tensor

from thalweg.evaluate.intervals import Interval, Z, logit_limits, no_interval, student_quantile

NORMAL = NormalDist()
CHUNK = 2**22  # weights at once: 32 MiB of float64
BUDGET = 5 * 10**7  # draws in all (some seconds); with that many rows the normal approximation is as good
ROUGH = 10  # rows below which the simulated coverage is no longer near 0.95


@dataclass(frozen=True)
class Statistic:
    """A measure as a function of row weights.

    Args:
        function: weights `[R, N]` -> `[R]`, differentiable, unchanged when all weights are scaled.
        support: the number of rows that carry it: all rows, or the positive ones where those are few.
        unit: whether it lies from 0 to 1.
        parts: how many passes over the rows it takes, such as one per label.
    """

    function: Callable[[Tensor], Tensor]
    support: int
    unit: bool = False
    parts: int = 1


def bootstrap(
    statistic: Statistic, *, num_rows: int, seed: int, replicates: int = 1000, groups: Tensor | None = None
) -> Interval:
    """A 95 % BCa interval: each replicate draws N rows with replacement, or G whole groups of rows.

    The quantiles taken from the replicates are `Phi(z0 + (z0 + z) / (1 - a (z0 + z)))` with the bias `z0` (from the
    share of replicates below the estimate) and the acceleration `a = sum u^3 / (6 (sum u^2)^1.5)`, where `u` is the
    influence of each row, which is the gradient of the statistic by the row weights. For `z` stands
    `sqrt(n / (n-1)) t(n-1)`, since the bootstrap takes the spread for known. Source: Efron 1987; Hesterberg 2015.

    Args:
        statistic: of the rows.
        num_rows: N.
        seed: of the draws; the same seed gives the same interval.
        replicates: R; where R N (times the parts) exceeds 5e7, the interval is normal, with the infinitesimal
            jackknife's `sum u^2` as variance (on the logit scale for a statistic from 0 to 1).
        groups: `[N]` codes 0 to G - 1 of rows that depend on each other, such as those of one person: they are drawn
            together, and the influence of a group is the sum of its rows'. Source: Field and Welsh 2007.
    """
    value, gradient = influence(statistic, num_rows)
    units = num_rows
    if groups is not None:
        units = int(groups.max()) + 1
        gradient = torch.zeros(units, dtype=gradient.dtype).index_add(0, groups, gradient)
        statistic = replace(statistic, support=min(statistic.support, units))
    if replicates * num_rows * statistic.parts > BUDGET:
        return delta_interval(statistic, value, gradient)
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for size in chunk_sizes(replicates, num_rows):
        weights = resample(size, units, generator)
        drawn.append(statistic.function(weights if groups is None else weights[:, groups]))
    return bca_interval(statistic, value, gradient, torch.cat(drawn), unit="rows" if groups is None else "groups")


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
    with torch.enable_grad():  # also where a caller evaluates without gradients
        weights = torch.ones(1, num_rows, dtype=torch.float64, requires_grad=True)
        value = statistic.function(weights).sum()
        (gradient,) = torch.autograd.grad(value, weights)
    return value.item(), gradient[0]


def bca_interval(
    statistic: Statistic, value: float, gradient: Tensor, drawn: Tensor, *, unit: str = "rows"
) -> Interval:
    """The BCa interval of one statistic; none where the replicates do not vary."""
    drawn = drawn[drawn.isfinite()].sort().values  # a replicate without any positive row has no average precision
    spread = float(gradient.square().sum().sqrt())
    if statistic.support < 2 or len(drawn) < 2 or drawn[0] == drawn[-1] or spread == 0:
        return no_interval(f"the resampled {unit} do not vary")
    share = float((drawn < value).sum() + (drawn == value).sum() / 2) / len(drawn)
    bias = NORMAL.inv_cdf(min(max(share, 1 / len(drawn)), 1 - 1 / len(drawn)))
    acceleration = float(gradient.pow(3).sum()) / (6 * spread**3)
    reach = math.sqrt(statistic.support / (statistic.support - 1)) * student_quantile(statistic.support - 1)

    def limit(z: float) -> float:
        scale = 1 - acceleration * (bias + z)
        if scale <= 0:  # few skewed rows: beyond the pole of the formula lies the outermost replicate
            return float(drawn[0] if z < 0 else drawn[-1])
        return float(torch.quantile(drawn, NORMAL.cdf(bias + (bias + z) / scale)))

    note = f"only {statistic.support} {unit} carry it: the interval is rough" if statistic.support < ROUGH else ""
    method = "bootstrap (BCa)" if unit == "rows" else f"bootstrap of whole {unit} (BCa)"
    return Interval(limit(-reach), limit(reach), method, note)


def delta_interval(statistic: Statistic, value: float, gradient: Tensor) -> Interval:
    """`value ± z sqrt(sum u^2)`, on the logit scale for a statistic strictly between 0 and 1."""
    spread = float(gradient.square().sum().sqrt())
    if spread == 0 or statistic.support < 2:
        return no_interval("the resampled rows do not vary")
    spread *= student_quantile(statistic.support - 1) / Z * math.sqrt(statistic.support / (statistic.support - 1))
    if not (statistic.unit and 0 < value < 1):
        return Interval(value - Z * spread, value + Z * spread, "infinitesimal jackknife")
    return Interval(*logit_limits(value, spread), "infinitesimal jackknife (logit)")

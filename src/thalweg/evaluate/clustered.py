"""Intervals for rows that depend on each other, such as several of one person: whole groups are resampled.

An interval over single rows takes each of them for a new piece of evidence. Ten recordings of one speaker are hardly
more than one: with an intraclass correlation of ρ and m rows a group the variance is 1 + (m − 1) ρ times as large.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from thalweg.evaluate.bootstrap import Statistic, bootstrap
from thalweg.evaluate.estimates import with_interval
from thalweg.evaluate.intervals import Interval, no_interval, wilson
from thalweg.evaluate.result import ClassRow, Measure, Result, TargetRow

ByWeight = Callable[[Tensor], Tensor]
UNBOUNDED = ("r2", "mcc", "kappa", "explained_variance")  # measures that may be negative
NOT_OVER_GROUPS = "no interval: it is not resampled by groups"
Functions = Mapping[tuple[str, str], ByWeight]  # (measure, class, label or target; empty for all) -> its function


def clustered(result: Result, functions: Functions, groups: Tensor, *, seed: int, replicates: int) -> Result:
    """The result with its intervals over groups of rows instead of rows.

    Args:
        result: as measured with independent rows.
        functions: each measure as a function of row weights `[R, N]`.
        groups: `[N]` any codes; rows of one code depend on each other.
        seed: of the bootstrap.
        replicates: of the bootstrap.
    """
    codes = torch.unique(groups, return_inverse=True)[1]
    drawn: dict[str, Any] = {"codes": codes, "seed": seed, "replicates": replicates}

    def anew(measure: Measure, of: str = "") -> Measure:
        function = functions.get((measure.name, of))
        if function is None:
            return replace(measure, low=None, high=None, method="", note=added(measure.note, NOT_OVER_GROUPS))
        return over_groups(measure, function, **drawn)

    def row_anew(row: Any) -> Any:
        found = {name: value for name in row.__slots__ if isinstance(value := getattr(row, name), Measure)}
        return replace(row, **{name: anew(value, row.name) for name, value in found.items()})

    per_class: tuple[ClassRow, ...] = tuple(map(row_anew, result.per_class))
    per_target: tuple[TargetRow, ...] = tuple(map(row_anew, result.per_target))
    measures = tuple(map(anew, result.measures))
    return replace(result, measures=measures, per_class=per_class, per_target=per_target)


def over_groups(measure: Measure, function: ByWeight, *, codes: Tensor, seed: int, replicates: int) -> Measure:
    """The measure with an interval over groups; an undefined one stays as it is."""
    if measure.value != measure.value:
        return measure
    num_groups = int(codes.max()) + 1
    plain = "" if measure.note.startswith("no interval") else measure.note.split("; no interval")[0]
    if num_groups < 2:
        alone = no_interval("all rows are of one group, which shows nothing of the spread between groups")
        return with_interval(measure.name, measure.value, alone, measure.count, plain)
    statistic = Statistic(function, num_groups)
    interval = bootstrap(statistic, num_rows=len(codes), seed=seed, replicates=replicates, groups=codes)
    if interval.low is None and measure.value in (0.0, 1.0) and measure.high is not None and measure.high <= 1:
        # All right or all wrong: a group is then at least one piece of evidence.
        limits = wilson(measure.value * num_groups, num_groups)
        interval = Interval(*limits, "Wilson on the groups", f"{num_groups} groups")
    low, high = interval.low, interval.high
    if low is not None and high is not None and measure.low is not None and measure.name not in UNBOUNDED:
        interval = replace(interval, low=max(low, 0.0))
    return with_interval(measure.name, measure.value, interval, measure.count, plain)


def added(note: str, more: str) -> str:
    return "; ".join(filter(None, (note, more)))

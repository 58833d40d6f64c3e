"""A metric of any kind on test rows, with an interval: what the user asked for beside the measures of the task."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from thalweg.evaluate.bootstrap import BUDGET, Statistic, bca_interval
from thalweg.evaluate.estimates import undefined, with_interval
from thalweg.evaluate.intervals import Interval, no_interval, student_quantile
from thalweg.evaluate.result import Measure
from thalweg.parts.metrics import Metric

BLOCKS = 100  # of the jackknife: the metric is measured once without each of them


def measure_metric(
    metric: Metric, output: Tensor, target: Tensor, *, groups: Tensor | None = None, seed: int, replicates: int
) -> Measure:
    """The metric with a 95 % interval from resampled rows, or from resampled groups of rows.

    The metric is a black box here: BCa quantiles, accelerated by a delete-a-block jackknife; where replicates times
    rows exceed 5e7, the jackknife's own `value ± t se`. Source: Efron 1987; Efron and Tibshirani 1993, chapter 14.

    Args:
        metric: of outputs and targets.
        output: of the rows, dimension 0; logits for a metric by name.
        target: their targets.
        groups: `[N]` codes of rows that depend on each other; None for independent rows.
        seed: of the draws.
        replicates: number of draws.
    """
    value = metric(output, target)
    if math.isnan(value):
        return undefined(metric.name, metric.why_undefined(output, target) or "it is NaN on these rows", len(target))
    units = members(len(target), groups)
    what = "rows" if groups is None else "groups"
    if len(units) < 2:
        return with_interval(metric.name, value, no_interval(f"there is one of the {what}"), len(target))
    generator = torch.Generator().manual_seed(seed)
    influence = jackknife(metric, output, target, units, generator)
    if not float(influence.square().sum()):
        return with_interval(metric.name, value, no_interval(f"the resampled {what} do not vary"), len(target))
    if replicates * len(target) > BUDGET:
        half = student_quantile(len(influence) - 1) * float(influence.square().sum().sqrt())
        return with_interval(metric.name, value, Interval(value - half, value + half, "jackknife"), len(target))
    order, lengths = torch.cat(units), torch.tensor([len(unit) for unit in units])
    starts, drawn = lengths.cumsum(0) - lengths, []
    for _ in range(replicates):
        chosen = torch.randint(len(units), (len(units),), generator=generator)
        rows = order[stretches(starts[chosen], lengths[chosen])]
        drawn.append(metric(output[rows], target[rows]))
    found = torch.tensor(drawn, dtype=torch.float64)
    lost = int(found.isnan().sum())
    statistic = Statistic(torch.Tensor.sum, len(units))  # only its support is read
    interval = bca_interval(statistic, value, influence, found, unit=what)
    if lost > replicates // 20:
        note = f"undefined in {lost} of {replicates} draws, which are left out"
        interval = replace(interval, note="; ".join(filter(None, (interval.note, note))))
    return with_interval(metric.name, value, interval, len(target))


def members(num_rows: int, groups: Tensor | None) -> list[Tensor]:
    """The rows of each unit that is drawn: of each group, or one row each."""
    rows = torch.arange(num_rows)
    if groups is None:
        return list(rows[:, None].unbind())
    codes, counts = torch.unique(groups, return_inverse=True, return_counts=True)[1:]
    return list(codes.argsort(stable=True).split(counts.tolist()))


def stretches(starts: Tensor, lengths: Tensor) -> Tensor:
    """The places of several stretches, one after another.

    >>> stretches(torch.tensor([5, 0]), torch.tensor([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = lengths.cumsum(0)
    return torch.arange(int(ends[-1])) + (starts - ends + lengths).repeat_interleave(lengths)


def jackknife(
    metric: Metric, output: Tensor, target: Tensor, units: list[Tensor], generator: torch.Generator
) -> Tensor:
    """The influence of each of some random blocks of units, so that the sum of squares is the jackknife's variance."""
    blocks = torch.randperm(len(units), generator=generator).tensor_split(min(BLOCKS, len(units)))
    kept = torch.ones(len(target), dtype=torch.bool)
    found = []
    for block in blocks:
        without = kept.clone()
        without[torch.cat([units[k] for k in block.tolist()])] = False
        found.append(metric(output[without], target[without]))
    values = torch.tensor(found, dtype=torch.float64)
    values = values[values.isfinite()]
    if len(values) < 2:
        return torch.zeros(2, dtype=torch.float64)
    return (values.mean() - values) * math.sqrt((len(values) - 1) / len(values))

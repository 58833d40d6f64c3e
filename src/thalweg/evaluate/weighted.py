"""Measures as functions of row weights `[R, N]`, which the bootstrap resamples and differentiates."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def average_precision_by_weight(score: Tensor, true: Tensor) -> Callable[[Tensor], Tensor]:
    """Average precision as a function of row weights `[R, N]`; NaN where no positive row has weight."""
    values, order = score.sort(descending=True)
    positive = true[order].double()
    last = torch.cat([values[1:] != values[:-1], torch.ones(1, dtype=torch.bool)]).nonzero()[:, 0]

    def value(weights: Tensor) -> Tensor:
        ordered = weights[:, order]
        found = (ordered * positive).cumsum(1)[:, last]
        called = ordered.cumsum(1)[:, last]
        steps = torch.diff(found, dim=1, prepend=found.new_zeros(len(found), 1))
        return (steps * found / called.clamp_min(1e-300)).sum(1) / found[:, -1]

    return value


def class_counts_by_weight(
    predicted: Tensor, true: Tensor, num_classes: int
) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Weights `[R, N]` -> weight of right rows, of rows called, and of rows, of each class: `[R, K]` each."""

    def counts(weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nothing = weights.new_zeros(len(weights), num_classes)
        right = weights * (predicted == true)
        return (
            nothing.index_add(1, true, right),
            nothing.index_add(1, predicted, weights),
            nothing.index_add(1, true, weights),
        )

    return counts


def roc_auc_by_weight(score: Tensor, positive: Tensor) -> Callable[[Tensor], Tensor]:
    """The area under the ROC curve as a function of row weights `[R, N]`, ties counting half; NaN without a class."""
    _, place = torch.unique(score, return_inverse=True)
    num_values = int(place.max()) + 1

    def value(weights: Tensor) -> Tensor:
        nothing = weights.new_zeros(len(weights), num_values)
        found = nothing.index_add(1, place, weights * positive)
        other = nothing.index_add(1, place, weights * ~positive)
        below = other.cumsum(1) - other / 2
        return (found * below).sum(1) / (found.sum(1) * other.sum(1))

    return value


def row_mean_by_weight(values: Tensor) -> Callable[[Tensor], Tensor]:
    """The mean of `[N]` values as a function of row weights `[R, N]`."""
    return ratio_by_weight(values.double(), torch.ones_like(values, dtype=torch.float64))


def mean_by_weight(functions: Sequence[Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor]:
    """The mean of several functions of row weights `[R, N]`; one that is NaN in a draw is left out of that draw."""
    return lambda weights: torch.stack([function(weights) for function in functions]).nanmean(0)


def f1_by_weight(found: Tensor, true: Tensor, *, micro: bool) -> Callable[[Tensor], Tensor]:
    """F1 of label sets `[N, T]` as a function of row weights: of all entries, or the mean over the labels of rows."""
    hits, sizes, support = (v.double() for v in (found & true, found.long() + true.long(), true))
    if micro:
        hits, sizes, support = (v.sum(1, keepdim=True) for v in (hits, sizes, support))

    def value(weights: Tensor) -> Tensor:
        share = torch.where(
            weights @ support > 0, 2 * (weights @ hits) / (weights @ sizes).clamp_min(1e-300), torch.nan
        )
        return share.nanmean(1)

    return value


def ratio_by_weight(total: Tensor, size: Tensor) -> Callable[[Tensor], Tensor]:
    """`sum of totals / sum of sizes` of rows, both `[N]`, as a function of row weights: a mean over positions."""
    return lambda weights: (weights @ total) / (weights @ size)


def r2_by_weight(error: Tensor, true: Tensor) -> Callable[[Tensor], Tensor]:
    """Mean r2 over the targets as a function of row weights `[R, N]`; `error` and `true` are `[N, T]`."""
    centered = true - true.mean(0)  # else the variance would cancel where the target is far from 0

    def value(weights: Tensor) -> Tensor:
        share = weights / weights.sum(1, keepdim=True)
        total = share @ centered.square() - (share @ centered).square()
        return (1 - (share @ error.square()) / total).mean(1)

    return value


def rmse_by_weight(error: Tensor) -> Callable[[Tensor], Tensor]:
    """Mean root mean squared error over the targets as a function of row weights `[R, N]`."""

    def value(weights: Tensor) -> Tensor:
        share = weights / weights.sum(1, keepdim=True)
        return (share @ error.square()).clamp_min(1e-300).sqrt().mean(1)

    return value

"""Measures as functions of row weights `[R, N]`, which the bootstrap resamples and differentiates."""

from collections.abc import Callable

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

"""Measures of a regression, in the unit of the target. Several targets are measured one by one and averaged (L41)."""

import torch
from torch import Tensor

from thalweg.parts.metrics.forms import Kind, Metric, pairs


def mse(output: Tensor, target: Tensor) -> float:
    """Mean squared error, in the squared unit of the target; NaN without rows.

    Args:
        output: `[N]` or `[N, T]` predictions.
        target: the same shape; `[N]` and `[N, 1]` are the same thing.

    >>> mse(torch.tensor([1.0, 2.0]), torch.tensor([[1.0], [4.0]]))
    2.0
    """
    predicted, true = pairs(output, target)
    return float((predicted - true).square().mean())


def rmse(output: Tensor, target: Tensor) -> float:
    """Root of the mean squared error, in the unit of the target; the mean over the targets where there are several."""
    predicted, true = pairs(output, target)
    return float((predicted - true).square().mean(0).sqrt().mean())


def mae(output: Tensor, target: Tensor) -> float:
    """Mean absolute error, in the unit of the target; NaN without rows."""
    predicted, true = pairs(output, target)
    return float((predicted - true).abs().mean())


def r2(output: Tensor, target: Tensor) -> float:
    """Share of the target's variance that is explained, `1 - SS_residual / SS_total`; the mean over several targets.

    It is 0 for the constant mean and has no lower bound. NaN where a target does not vary: scikit-learn answers 0 or 1.

    >>> r2(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 6.0]))
    0.357...
    """
    predicted, true = pairs(output, target)
    residual = (predicted - true).square().sum(0)
    total = (true - true.mean(0)).square().sum(0)
    return float((1 - residual / total.where(total > 0, torch.nan)).mean())


def why_undefined(target: Tensor) -> str:
    """Why r2 is NaN on these targets; empty where it is defined."""
    if not len(target):
        return "there are no rows"
    if len(target) == 1:
        return "one row has no variance"
    constant = (target == target[0]).reshape(len(target), -1).all(0).nonzero().flatten().tolist()
    if not constant:
        return ""
    return "the target does not vary" if target[0].numel() == 1 else f"target {constant[0]} does not vary"


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on predictions in the unit of the target."""
    if kind != "regression":
        return []

    def no_rows(_: Tensor, target: Tensor) -> str:
        return "" if len(target) else "there are no rows"

    return [
        Metric("r2", True, r2, lambda _, target: why_undefined(target)),
        Metric("rmse", False, rmse, no_rows),
        Metric("mae", False, mae, no_rows),
        Metric("mse", False, mse, no_rows),
    ]

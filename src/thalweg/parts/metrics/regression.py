"""Measures of a regression, in the unit of the target. Several targets are measured one by one and averaged (L41)."""

from functools import partial

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.parts.metrics.forms import Form, Kind, Metric, mean_metric, no_rows, pairs, row_weights


def means(values: Tensor, weight: Tensor | None) -> Tensor:
    """`[T]` means over rows of `[N, T]`, weighted where weights are given."""
    if weight is None:
        return values.mean(0)
    shares = row_weights(weight, values)
    return (shares[:, None] * values).sum(0) / shares.sum()


def mse(output: Tensor, target: Tensor, *, weight: Tensor | None = None) -> float:
    """Mean squared error, in the squared unit of the target: `1/N Σ (ŷ - y)²`; NaN without rows.

    Args:
        output: `[N]` or `[N, T]` predictions.
        target: the same shape; `[N]` and `[N, 1]` are the same thing.
        weight: `[N]` of at least 0; None counts each row once.

    Raises:
        DataError: for a NaN, or where the shapes disagree (torch would broadcast `[N]` and `[N, 1]` to `[N, N]`).

    >>> mse(torch.tensor([1.0, 2.0]), torch.tensor([[1.0], [4.0]]))
    2.0

    Source: lecture row L41. As scikit-learn's `mean_squared_error`, and `torch.nn.functional.mse_loss` in float64.
    """
    predicted, true = pairs(output, target)
    return float(means((predicted - true).square(), weight).mean())


def rmse(output: Tensor, target: Tensor, *, weight: Tensor | None = None) -> float:
    """Root of the mean squared error, `√(1/N Σ (ŷ - y)²)`, in the unit of the target; the mean over several targets.

    Args:
        output: `[N]` or `[N, T]` predictions.
        target: the same shape.
        weight: `[N]` of at least 0; None counts each row once.

    >>> rmse(torch.tensor([1.0, 2.0]), torch.tensor([4.0, 5.0]))
    3.0

    Source: lecture row L41. As scikit-learn's `root_mean_squared_error`; torchmetrics takes the root of the mean over
    targets instead.
    """
    predicted, true = pairs(output, target)
    return float(means((predicted - true).square(), weight).sqrt().mean())


def mae(output: Tensor, target: Tensor, *, weight: Tensor | None = None) -> float:
    """Mean absolute error, `1/N Σ |ŷ - y|`, in the unit of the target; NaN without rows.

    Args:
        output: `[N]` or `[N, T]` predictions.
        target: the same shape.
        weight: `[N]` of at least 0; None counts each row once.

    >>> mae(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    1.0

    Source: lecture row L41. As scikit-learn's `mean_absolute_error`.
    """
    predicted, true = pairs(output, target)
    return float(means((predicted - true).abs(), weight).mean())


def median_absolute_error(output: Tensor, target: Tensor) -> float:
    """Median of `|ŷ - y|`, in the unit of the target; the mean over several targets. A few wild errors leave it alone.

    Args:
        output: `[N]` or `[N, T]` predictions.
        target: the same shape.

    >>> median_absolute_error(torch.tensor([1.0, 2.0, 3.0, 99.0]), torch.tensor([1.0, 3.0, 6.0, 0.0]))
    2.0

    Source: lecture row L41. As scikit-learn's `median_absolute_error`: between the two middle errors of an even number
    of rows lies their mean, where `torch.median` takes the lower one.
    """
    predicted, true = pairs(output, target)
    if not len(true):
        return torch.nan
    errors = (predicted - true).abs().sort(0).values
    low, high = errors[(len(errors) - 1) // 2], errors[len(errors) // 2]
    return float(((low + high) / 2).mean())


def quantile_losses(output: Tensor, target: Tensor, *, quantile: float) -> Tensor:
    """`[N]` float64 pinball loss of each row, the mean over its targets."""
    if not 0 < quantile < 1:
        raise UsageError(f"quantile lies between 0 and 1; received {quantile}. 0.5 is half of the absolute error.")
    predicted, true = pairs(output, target)
    above = true - predicted
    return torch.maximum(quantile * above, (quantile - 1) * above).mean(1)


def quantile_loss(output: Tensor, target: Tensor, *, quantile: float, weight: Tensor | None = None) -> float:
    """Quantile (pinball) loss, `1/N Σ max(q (y - ŷ), (q - 1) (y - ŷ))`: least for the true q-quantile.

    Args:
        output: `[N]` or `[N, T]` predictions of that quantile.
        target: the same shape.
        quantile: q, between 0 and 1.
        weight: `[N]` of at least 0; None counts each row once.

    Raises:
        UsageError: for a quantile that is not between 0 and 1.

    >>> quantile_loss(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 4.0]), quantile=0.9)  # (0.9 * 2 + 0.1 * 1) / 2
    0.95

    Source: Koenker and Bassett 1978, "Regression quantiles"; L41. As scikit-learn's `mean_pinball_loss(alpha=)`.
    """
    losses = quantile_losses(output, target, quantile=quantile)
    return float(means(losses[:, None], weight).mean())


def variance(values: Tensor, weight: Tensor | None) -> Tensor:
    """`[T]` variance over rows, about the mean; NaN where the values do not vary."""
    counted = values if weight is None else values[row_weights(weight, values) > 0]
    varies = (counted != counted[:1]).any(0)
    return means((values - means(values, weight)).square(), weight).where(varies, torch.nan)


def r2(output: Tensor, target: Tensor, *, weight: Tensor | None = None) -> float:
    """Share of the target's variance that is explained, `1 - Σ (ŷ - y)² / Σ (y - ȳ)²`; the mean over several targets.

    It is 0 for the constant mean and has no lower bound.

    Args:
        output: `[N]` or `[N, T]` predictions.
        target: the same shape.
        weight: `[N]` of at least 0; None counts each row once.

    >>> r2(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 6.0]))
    0.357...

    Source: lecture row L41. As scikit-learn's `r2_score`; NaN where a target does not vary, for which that answers 0
    or 1.
    """
    predicted, true = pairs(output, target)
    return float((1 - means((predicted - true).square(), weight) / variance(true, weight)).mean())


def explained_variance(output: Tensor, target: Tensor, *, weight: Tensor | None = None) -> float:
    """Share of the target's variance that is explained but for a constant, `1 - Var(y - ŷ) / Var(y)`.

    It forgives predictions that are all too high by the same amount; `r2` does not, and is never larger.

    Args:
        output: `[N]` or `[N, T]` predictions.
        target: the same shape.
        weight: `[N]` of at least 0; None counts each row once.

    >>> explained_variance(torch.tensor([11.0, 12.0, 13.0]), torch.tensor([1.0, 2.0, 3.0]))
    1.0

    Source: lecture row L41. As scikit-learn's `explained_variance_score`; NaN where a target does not vary:
    scikit-learn answers 0 or 1.
    """
    predicted, true = pairs(output, target)
    error = predicted - true
    left = means((error - means(error, weight)).square(), weight)
    return float((1 - left / variance(true, weight)).mean())


def why_undefined(target: Tensor) -> str:
    """Why r2 and explained variance are NaN on these targets; empty where they are defined."""
    if not len(target):
        return "there are no rows"
    if len(target) == 1:
        return "one row has no variance"
    constant = (target == target[0]).reshape(len(target), -1).all(0).nonzero().flatten().tolist()
    if not constant:
        return ""
    return "the target does not vary" if target[0].numel() == 1 else f"target {constant[0]} does not vary"


def squared_sums(output: Tensor, target: Tensor) -> Tensor:
    """`[2, T]` float64: sums of squared errors, and rows."""
    predicted, true = pairs(output, target)
    total = (predicted - true).square().sum(0)
    return torch.stack([total, torch.full_like(total, len(true))])


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on predictions in the unit of the target."""
    if kind != "regression":
        return []

    def varied(_: Tensor, target: Tensor) -> str:
        return why_undefined(target)

    def absolute(output: Tensor, target: Tensor) -> Tensor:
        predicted, true = pairs(output, target)
        return (predicted - true).abs().mean(1)

    def root(state: Tensor) -> float:
        return float((state[0] / state[1]).sqrt().mean())

    def mean(state: Tensor) -> float:
        return float((state[0] / state[1]).mean())

    return [
        Metric("r2", True, r2, varied),
        Metric("rmse", False, rmse, no_rows, squared_sums, root),
        mean_metric("mae", False, absolute),
        Metric("mse", False, mse, no_rows, squared_sums, mean),
        Metric("explained_variance", True, explained_variance, varied),
        Metric("median_absolute_error", False, median_absolute_error, no_rows),
    ]


def forms(kind: Kind) -> list[Form]:
    """The quantile loss for any quantile."""

    def quantile(name: str, value: float) -> Metric:
        if not 0 < value < 1:
            raise UsageError(f"In {name!r} the quantile lies between 0 and 1; received {value:g}.")
        return mean_metric(name, False, partial(quantile_losses, quantile=value))

    return [Form("quantile_0.9", r"quantile_(\d*\.?\d+)", quantile)] if kind == "regression" else []

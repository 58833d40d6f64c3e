"""Metrics found by name, for the epoch loop. A family is a module with a function `metrics(kind)`."""

import math
from collections.abc import Callable

from torch import Tensor

from thalweg.errors import UsageError, did_you_mean
from thalweg.parts.metrics import confusion, multilabel, per_position, probability, ranking, regression
from thalweg.parts.metrics.forms import Kind, Metric, check_word

FAMILIES = (
    confusion.metrics,
    ranking.metrics,
    probability.metrics,
    multilabel.metrics,
    per_position.metrics,
    regression.metrics,
)
SHOWN: dict[Kind, tuple[str, ...]] = {  # each epoch, where the user chose none
    "binary": ("accuracy", "auc"),
    "multiclass": ("accuracy",),
    "multilabel": ("micro_f1", "macro_average_precision"),
    "per_position": ("accuracy", "perplexity"),
    "regression": ("r2",),
    "own": (),
}


def metric_names(kind: Kind) -> tuple[str, ...]:
    """The names that `metric` knows for a kind of task.

    >>> metric_names("regression")
    ('r2', 'rmse', 'mae', 'mse')
    """
    return tuple(found.name for family in FAMILIES for found in family(kind))


def metric(name: str | Callable[[Tensor, Tensor], float], kind: Kind) -> Metric:
    """The metric of that name on a network's outputs: `metric(output, target)` is a float, NaN where undefined.

    Args:
        name: one of `metric_names(kind)`, or the user's own `(output, target) -> float`, of which higher is better.
        kind: `"binary"`, `"multiclass"`, `"multilabel"`, `"per_position"` or `"regression"`. A binary task's metrics
            judge class 1.

    Raises:
        UsageError: for a name that this kind of task does not have.

    >>> import torch
    >>> accuracy = metric("accuracy", "binary")
    >>> accuracy(torch.tensor([-1.0, 2.0, 3.0]), torch.tensor([0, 1, 0])), accuracy.higher_is_better
    (0.6666666666666666, True)
    """
    check_word("kind", kind, Kind)
    if callable(name):
        return own_metric(name)
    for family in FAMILIES:
        for found in family(kind):
            if found.name == name:
                return found
    known = metric_names(kind)
    raise UsageError(
        f"A {kind} task has no metric {name!r}.{did_you_mean(name, known)} Its metrics are: {', '.join(known)}; "
        "or give a function (output, target) -> float, of which higher is better."
    )


def own_metric(function: Callable[[Tensor, Tensor], float]) -> Metric:
    """The user's own function as a metric, under its name."""
    name = getattr(function, "__name__", type(function).__name__)

    def value(output: Tensor, target: Tensor) -> float:
        found = function(output, target)
        try:
            return float(found)
        except (TypeError, ValueError, RuntimeError) as error:  # torch raises RuntimeError for several elements
            raise UsageError(
                f"The metric {name!r} must return one number; received {type(found).__name__}: {error}. Return a float."
            ) from error

    def why(output: Tensor, target: Tensor) -> str:
        return f"{name} returned NaN" if math.isnan(value(output, target)) else ""

    return Metric(name, True, value, why)

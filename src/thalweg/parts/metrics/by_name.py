"""Metrics found by name, for the epoch loop.

A family is a module with a function `metrics(kind)`, and another, `forms(kind)`, where names hold a number.
"""

import math
import re
from collections.abc import Callable

from torch import Tensor

from thalweg.errors import UsageError, did_you_mean
from thalweg.parts.metrics import (
    calibration,
    decisions,
    multilabel,
    operating,
    per_position,
    probability,
    ranking,
    regression,
    several_classes,
)
from thalweg.parts.metrics.forms import Form, Kind, Metric, check_word

FAMILIES = (
    decisions.metrics,
    ranking.metrics,
    several_classes.metrics,
    probability.metrics,
    calibration.metrics,
    multilabel.metrics,
    per_position.metrics,
    regression.metrics,
)
FORMS = (decisions.forms, operating.forms, multilabel.forms, per_position.forms, regression.forms)
SHOWN: dict[Kind, tuple[str, ...]] = {  # each epoch, where the user chose none
    "binary": ("accuracy", "auc"),
    "multiclass": ("accuracy",),
    "multilabel": ("micro_f1", "macro_average_precision"),
    "per_position": ("accuracy", "perplexity"),
    "regression": ("r2",),
    "own": (),
}


def metric_names(kind: Kind) -> tuple[str, ...]:
    """The names that `metric` knows for a kind of task, but for those that hold a number (`metric_forms`).

    Args:
        kind: `"binary"`, `"multiclass"`, `"multilabel"`, `"per_position"` or `"regression"`.

    >>> metric_names("regression")
    ('r2', 'rmse', 'mae', 'mse', 'explained_variance', 'median_absolute_error')

    Source: lecture rows L41 to L43.
    """
    return tuple(found.name for family in FAMILIES for found in family(kind))


def metric_forms(kind: Kind) -> tuple[str, ...]:
    """An example of each name that holds a number, for a kind of task: any other number may stand there.

    Args:
        kind: `"binary"`, `"multiclass"`, `"multilabel"`, `"per_position"` or `"regression"`.

    >>> metric_forms("binary")
    ('f0.5', 'tpr_at_fpr_0.01', 'precision_at_recall_0.9', 'partial_auc_0.1')

    Source: lecture rows L41 to L43.
    """
    return tuple(form.example for form in all_forms(kind))


def all_forms(kind: Kind) -> list[Form]:
    return [form for family in FORMS for form in family(kind)]


def metric(name: str | Callable[[Tensor, Tensor], float], kind: Kind) -> Metric:
    """The metric of that name on a network's outputs: `metric(output, target)` is a float, NaN where undefined.

    `explain(output, target)` gives the reason of a NaN too. These are the names of `Experiment(metrics=[...])`.

    Args:
        name: one of `metric_names(kind)`; one with another number than in `metric_forms(kind)`, such as
            `"tpr_at_fpr_0.05"`; or the user's own `(output, target) -> float`, of which higher is better.
        kind: `"binary"`, `"multiclass"`, `"multilabel"`, `"per_position"` or `"regression"`. A binary task's metrics
            judge class 1; `"f1"`, `"precision"`, `"recall"` of several classes are means over classes ("macro").

    Raises:
        UsageError: for a name that this kind of task does not have, or a number out of range.

    >>> import torch
    >>> accuracy = metric("accuracy", "binary")
    >>> accuracy(torch.tensor([-1.0, 2.0, 3.0]), torch.tensor([0, 1, 0])), accuracy.higher_is_better
    (0.6666666666666666, True)
    >>> print(metric("tpr_at_fpr_0.1", "binary").explain(torch.tensor([0.3, 0.1]), torch.tensor([1, 1])))
    nan (all rows are of one class, so there is nothing to rank)

    Source: lecture rows L41 to L43. Metrics take logits (predictions, in a regression) as the network gives them.
    """
    check_word("kind", kind, Kind)
    if callable(name):
        return own_metric(name)
    for family in FAMILIES:
        for found in family(kind):
            if found.name == name:
                return found
    for form in all_forms(kind):
        if match := re.fullmatch(form.pattern, name):
            return form.make(name, float(match.groups()[-1]))
    names, forms = metric_names(kind), metric_forms(kind)
    near = did_you_mean(name, names + forms)
    numbered = f" With any number: {', '.join(forms)}." if forms else ""
    raise UsageError(
        f"A {kind} task has no metric {name!r}.{near} Its metrics are: {', '.join(names)}; "
        f"or give a function (output, target) -> float, of which higher is better.{numbered}"
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

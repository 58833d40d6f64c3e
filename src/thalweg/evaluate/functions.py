"""Every measure of a result as a function of row weights `[R, N]`, by its name and the class, label or target it is of.

Resampling by groups needs them all; where rows are independent most measures have closed forms instead.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from thalweg.evaluate.result import Threshold
from thalweg.evaluate.weighted import (
    average_precision_by_weight,
    class_counts_by_weight,
    f1_by_weight,
    mean_by_weight,
    r2_by_weight,
    ratio_by_weight,
    rmse_by_weight,
    roc_auc_by_weight,
    row_mean_by_weight,
)
from thalweg.parts.metrics import multilabel
from thalweg.parts.metrics.forms import Kind, Scores, binary_scores, label_matrix, labels, pairs, predictions
from thalweg.parts.metrics.per_position import COUNT, HITS, LOSS
from thalweg.parts.metrics.probability import brier_scores, log_losses
from thalweg.parts.metrics.several_classes import one_vs_rest

ByWeight = Callable[[Tensor], Tensor]
Functions = dict[tuple[str, str], ByWeight]
Counts = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def class_functions(
    output: Tensor, target: Tensor, *, kind: Kind, scores: Scores, threshold: Threshold | None, classes: Sequence[str]
) -> Functions:
    """Of a binary or multi-class task; precision, recall and F1 of a binary one are those of class 1."""
    cut = None if threshold is None else threshold.value
    predicted = predictions(output, kind, scores=scores, threshold=cut)
    true = labels(target, num_classes=len(classes))
    counts = class_counts_by_weight(predicted, true, len(classes))
    shares = {"precision": precision, "recall": recall, "f1": f1}
    found: Functions = {
        (name, own): of(counts, share, k) for k, own in enumerate(classes) for name, share in shares.items()
    }
    if kind == "binary":
        score = binary_scores(output, scores)
        problems = [(score, true == 1)]
        found |= {(name, ""): of(counts, share, 1) for name, share in shares.items()}
        found["specificity", ""] = of(counts, recall, 0)
        found["average_precision", ""] = average_precision_by_weight(score, true)
    else:
        problems = [(score, one == 1) for _, score, one in one_vs_rest(output, true, scores=scores)]
        found |= {(name, ""): macro(counts, share) for name, share in shares.items()}
    found["accuracy", ""] = row_mean_by_weight(predicted == true)
    found["balanced_accuracy", ""] = macro(counts, recall)
    found["auc", ""] = mean_by_weight([roc_auc_by_weight(score, one) for score, one in problems])
    found["log_loss", ""] = row_mean_by_weight(log_losses(output, true, kind=kind, scores=scores))
    found["brier", ""] = row_mean_by_weight(brier_scores(output, true, kind=kind, scores=scores))
    return found


def precision(right: Tensor, called: Tensor, rows: Tensor) -> Tensor:
    """`[R, K]`; 0 for a class that is never called, NaN for one without rows."""
    return (right / called.clamp_min(1e-300)).where(rows > 0, torch.nan)


def recall(right: Tensor, called: Tensor, rows: Tensor) -> Tensor:
    return (right / rows.clamp_min(1e-300)).where(rows > 0, torch.nan)


def f1(right: Tensor, called: Tensor, rows: Tensor) -> Tensor:
    return (2 * right / (called + rows).clamp_min(1e-300)).where(rows > 0, torch.nan)


def of(counts: Counts, share: Callable[[Tensor, Tensor, Tensor], Tensor], k: int) -> ByWeight:
    """A share of one class."""
    return lambda weights: share(*counts(weights))[:, k]


def macro(counts: Counts, share: Callable[[Tensor, Tensor, Tensor], Tensor]) -> ByWeight:
    """The mean of a share over the classes that have rows."""
    return lambda weights: share(*counts(weights)).nanmean(1)


def label_functions(
    output: Tensor, target: Tensor, *, scores: Scores, threshold: Threshold, names: Sequence[str]
) -> Functions:
    """Of a multi-label task."""
    found = multilabel.called(output, scores=scores, threshold=threshold.value)
    true = label_matrix(target, found.shape[1])
    problems = {k: (score, one) for k, score, one in multilabel.problems(output, target, scores=scores)}
    functions: Functions = {}
    for k, name in enumerate(names):
        counts = class_counts_by_weight(found[:, k].long(), true[:, k].long(), 2)
        functions |= {("precision", name): of(counts, precision, 1), ("recall", name): of(counts, recall, 1)}
        functions["f1", name] = of(counts, f1, 1)
        if k in problems:
            score, one = problems[k]
            functions["average_precision", name] = average_precision_by_weight(score, one)
            functions["auc", name] = roc_auc_by_weight(score, one == 1)
    several = list(problems.values())
    functions |= {
        ("micro_f1", ""): f1_by_weight(found, true, micro=True),
        ("macro_f1", ""): f1_by_weight(found, true, micro=False),
        ("subset_accuracy", ""): row_mean_by_weight((found == true).all(1)),
        ("label_accuracy", ""): row_mean_by_weight((found == true).double().mean(1)),
        ("log_loss", ""): row_mean_by_weight(multilabel.log_losses(output, target, scores=scores)),
    }
    if several:
        functions["macro_average_precision", ""] = mean_by_weight(
            [average_precision_by_weight(score, one) for score, one in several]
        )
        functions["macro_auc", ""] = mean_by_weight([roc_auc_by_weight(score, one == 1) for score, one in several])
    return functions


def value_functions(output: Tensor, target: Tensor, *, names: Sequence[str]) -> Functions:
    """Of a regression with one target or several."""
    predicted, true = pairs(output, target)

    def errors(own: slice, name: str) -> Functions:
        error, values = predicted[:, own] - true[:, own], true[:, own]
        return {
            ("r2", name): r2_by_weight(error, values),
            ("rmse", name): rmse_by_weight(error),
            ("mae", name): row_mean_by_weight(error.abs().mean(1)),
        }

    found = errors(slice(None), "")
    for t, name in enumerate(names):
        found |= errors(slice(t, t + 1), name)
    return found


def position_functions(sums: Tensor) -> Functions:
    """Of a class per position, from the sums of each row; the rows have positions that count."""
    loss = ratio_by_weight(sums[:, LOSS], sums[:, COUNT])
    return {
        ("accuracy", ""): ratio_by_weight(sums[:, HITS], sums[:, COUNT]),
        ("log_loss", ""): loss,
        ("perplexity", ""): lambda weights: loss(weights).exp(),
    }

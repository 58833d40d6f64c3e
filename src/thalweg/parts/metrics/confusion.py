"""Measures of decisions: one confusion matrix yields accuracy, balanced accuracy, precision, recall and F1 (L41).

A class without rows cannot be averaged over: it is left out of every mean over classes. A class that has rows but was
never predicted has no precision of its own (NaN), and counts as 0 in the mean, because a network that ignores a class
must not look better for it. scikit-learn's `labels=<classes with rows>, zero_division=0` agrees.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from thalweg.parts.metrics.forms import Kind, Metric, exact, labels, predictions, same_rows

POSITIVE = 1  # the positive class of a binary task


def confusion_matrix(predicted: Tensor, target: Tensor, *, num_classes: int) -> Tensor:
    """`[C, C]` int64 counts: row = true class, column = predicted class.

    Args:
        predicted: `[N]` int64 class indices.
        target: `[N]` class indices as integers, booleans or whole floats.
        num_classes: C; classes without rows keep their row and column of zeros.

    Raises:
        DataError: for an index outside 0 to C-1, or lengths that differ.

    >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), num_classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    same_rows(predicted, target)
    column = labels(predicted, num_classes=num_classes)
    row = labels(target, num_classes=num_classes).to(column.device)
    return torch.bincount(row * num_classes + column, minlength=num_classes**2).view(num_classes, num_classes)


def confusion_of(output: Tensor, target: Tensor, kind: Kind) -> Tensor:
    """The confusion matrix of a network's logits, binary or multi-class."""
    predicted = predictions(output, kind)
    return confusion_matrix(predicted, target, num_classes=2 if kind == "binary" else output.shape[1])


def recalls(matrix: Tensor) -> Tensor:
    """`[C]` recall of each class, `TP / (TP + FN)`; NaN for a class without rows."""
    return exact(matrix.diagonal()) / exact(matrix.sum(1))


def precisions(matrix: Tensor) -> Tensor:
    """`[C]` precision of each class, `TP / (TP + FP)`; NaN for a class never predicted."""
    return exact(matrix.diagonal()) / exact(matrix.sum(0))


def f1s(matrix: Tensor) -> Tensor:
    """`[C]` F1 of each class, `2 TP / (2 TP + FP + FN)`; NaN for a class without rows."""
    value = 2 * exact(matrix.diagonal()) / exact(matrix.sum(0) + matrix.sum(1))
    return value.where(matrix.sum(1) > 0, torch.nan)


def mean_over_present(values: Tensor, matrix: Tensor) -> float:
    """The mean over the classes that have rows; an undefined precision counts as 0. NaN without any row."""
    return float(values[matrix.sum(1) > 0].nan_to_num(0.0).mean())


def accuracy(matrix: Tensor) -> float:
    """Share of rows decided rightly, `trace / sum`; NaN without rows.

    >>> accuracy(torch.tensor([[3, 1], [0, 4]]))
    0.875
    """
    return float(exact(matrix.diagonal().sum()) / exact(matrix.sum()))


def balanced_accuracy(matrix: Tensor) -> float:
    """Mean recall over the classes that have rows; NaN with fewer than two of them.

    >>> balanced_accuracy(torch.tensor([[9, 0], [1, 0]]))
    0.5
    """
    return mean_over_present(recalls(matrix), matrix) if num_present(matrix) > 1 else torch.nan


def precision(matrix: Tensor, *, positive: int | None = None) -> float:
    """Precision, `TP / (TP + FP)`: of one class, or the mean over classes ("macro") where `positive` is None."""
    values = precisions(matrix)
    return mean_over_present(values, matrix) if positive is None else float(values[positive])


def recall(matrix: Tensor, *, positive: int | None = None) -> float:
    """Recall, `TP / (TP + FN)`: of one class, or the mean over classes where `positive` is None."""
    values = recalls(matrix)
    return mean_over_present(values, matrix) if positive is None else float(values[positive])


def f1(matrix: Tensor, *, positive: int | None = None) -> float:
    """F1, `2 TP / (2 TP + FP + FN)`: of one class, or the mean over classes where `positive` is None.

    The mean is the mean of the classes' F1, not the F1 of their mean precision and recall (Opitz and Burst 2019).

    >>> f1(torch.tensor([[2, 0], [1, 1]]), positive=1)
    0.6666666666666666
    """
    values = f1s(matrix)
    return mean_over_present(values, matrix) if positive is None else float(values[positive])


def num_present(matrix: Tensor) -> int:
    return int((matrix.sum(1) > 0).sum())


def why_undefined(name: str, matrix: Tensor, *, positive: int | None = None) -> str:
    """Why the measure of that name is NaN; empty where it is defined."""
    if not int(matrix.sum()):
        return "there are no rows"
    if name == "balanced_accuracy" and num_present(matrix) < 2:
        return "all rows are of one class"
    if positive is None or name == "accuracy":
        return ""
    if name in ("recall", "f1") and not int(matrix.sum(1)[positive]):
        return "no row is of this class"
    if name == "precision" and not int(matrix.sum(0)[positive]):
        return "this class was never predicted"
    return ""


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits; a binary task's are those of class 1, at probability 1/2."""
    if kind not in ("binary", "multiclass"):
        return []
    positive = POSITIVE if kind == "binary" else None

    def of(name: str, function: Callable[[Tensor], float]) -> Metric:
        return Metric(
            name,
            True,
            lambda output, target: function(confusion_of(output, target, kind)),
            lambda output, target: why_undefined(name, confusion_of(output, target, kind), positive=positive),
            lambda output, target: confusion_of(output, target, kind),
            function,
        )

    return [
        of("accuracy", accuracy),
        of("balanced_accuracy", balanced_accuracy),
        of("f1", lambda matrix: f1(matrix, positive=positive)),
        of("precision", lambda matrix: precision(matrix, positive=positive)),
        of("recall", lambda matrix: recall(matrix, positive=positive)),
    ]

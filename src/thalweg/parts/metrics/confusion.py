"""Measures of decisions: one confusion matrix yields accuracy, precision, recall, F, specificity, MCC, kappa (L41).

A class without rows cannot be averaged over: it is left out of every mean over classes. A class that has rows but was
never predicted has no precision of its own (NaN), and counts as 0 in the mean, because a network that ignores a class
must not look better for it. scikit-learn's `labels=<classes with rows>, zero_division=0` agrees.
"""

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.parts.metrics.forms import (
    Average,
    Kind,
    check_word,
    exact,
    labels,
    predictions,
    row_weights,
    same_rows,
)

POSITIVE = 1  # the positive class of a binary task


def confusion_matrix(predicted: Tensor, target: Tensor, *, num_classes: int, weight: Tensor | None = None) -> Tensor:
    """Counts of true class (row) by predicted class (column), `[C, C]`: int64, or float64 sums of weights.

    `M[i, j] = sum_n w_n [y_n = i] [ŷ_n = j]`

    Args:
        predicted: `[N]` int64 class indices.
        target: `[N]` class indices as integers, booleans or whole floats.
        num_classes: C; classes without rows keep their row and column of zeros.
        weight: `[N]` of at least 0; None counts each row once.

    Raises:
        DataError: for an index outside 0 to C-1, or lengths that differ.

    >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), num_classes=2).tolist()
    [[1, 1], [0, 1]]

    Source: lecture row L41. As scikit-learn's `confusion_matrix(labels=range(C))`. torchmetrics takes scores here too,
    and decides batch by batch whether they are logits.
    """
    same_rows(predicted, target)
    column = labels(predicted, num_classes=num_classes)
    row = labels(target, num_classes=num_classes).to(column.device)
    weights = None if weight is None else row_weights(weight, row)
    cells = torch.bincount(row * num_classes + column, weights, minlength=num_classes**2)
    return cells.view(num_classes, num_classes)


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


def f_betas(matrix: Tensor, *, beta: float) -> Tensor:
    """`[C]` F-beta of each class; NaN for a class without rows."""
    support = exact(matrix.sum(1))
    value = (1 + beta**2) * exact(matrix.diagonal()) / (beta**2 * support + exact(matrix.sum(0)))
    return value.where(support > 0, torch.nan)


def f1s(matrix: Tensor) -> Tensor:
    """`[C]` F1 of each class, `2 TP / (2 TP + FP + FN)`; NaN for a class without rows."""
    return f_betas(matrix, beta=1)


def specificities(matrix: Tensor) -> Tensor:
    """`[C]` specificity of each class against the rest, `TN / (TN + FP)`; NaN where there are no rows of the rest."""
    true_negative, others = negatives(matrix)
    return true_negative / others


def negatives(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """`[C]` each: the rows of other classes that were not called this class, and all rows of other classes."""
    others = exact(matrix.sum() - matrix.sum(1))
    return others - exact(matrix.sum(0) - matrix.diagonal()), others


def mean_over_present(values: Tensor, matrix: Tensor) -> float:
    """The mean over the classes that have rows; an undefined precision counts as 0. NaN without any row."""
    return float(values[matrix.sum(1) > 0].nan_to_num(0.0).mean())


def averaged(values: Tensor, matrix: Tensor, average: Average) -> float:
    """The mean of `[C]` values over classes: plain, weighted by the classes' rows, or of the pooled counts.

    Pooled over classes, precision, recall and every F-beta are the share of rows that are right.
    """
    check_word("average", average, Average)
    if average == "micro":
        return accuracy(matrix)
    if average == "macro":
        return mean_over_present(values, matrix)
    support = exact(matrix.sum(1))
    return float((support * values.nan_to_num(0.0)).sum() / support.sum())


def accuracy(matrix: Tensor) -> float:
    """Share of rows decided rightly, `trace / sum`; NaN without rows.

    Args:
        matrix: a confusion matrix `[C, C]`, row = true class, column = predicted class.

    >>> accuracy(torch.tensor([[3, 1], [0, 4]]))
    0.875

    Source: lecture row L41. As scikit-learn's `accuracy_score`; torchmetrics' multi-class accuracy is by default the
    mean recall (macro), which here is `balanced_accuracy`.
    """
    return float(exact(matrix.diagonal().sum()) / exact(matrix.sum()))


def balanced_accuracy(matrix: Tensor) -> float:
    """Mean recall over the classes that have rows; NaN with fewer than two of them.

    `1/C' sum_k TP_k / (TP_k + FN_k)` over the C' classes that have rows. A network that always answers the most
    frequent class has 1/C', whatever its accuracy.

    Args:
        matrix: a confusion matrix `[C, C]`, row = true class, column = predicted class.

    >>> balanced_accuracy(torch.tensor([[9, 0], [1, 0]]))
    0.5

    Source: Brodersen et al. 2010, "The balanced accuracy and its posterior distribution"; L41. As scikit-learn's, which
    answers for one class alone with its recall.
    """
    return mean_over_present(recalls(matrix), matrix) if num_present(matrix) > 1 else torch.nan


def precision(matrix: Tensor, *, positive: int | None = None, average: Average = "macro") -> float:
    """Precision, `TP / (TP + FP)`: the share of the rows called a class that are of it.

    Args:
        matrix: a confusion matrix `[C, C]`, row = true class, column = predicted class.
        positive: the class it is of; None for a mean over classes.
        average: `"macro"`, the plain mean over the classes that have rows; `"weighted"`, weighted by their rows;
            `"micro"`, of the pooled counts, which with one class per row is the accuracy.

    >>> matrix = torch.tensor([[2, 1], [0, 1]])
    >>> precision(matrix, positive=1), precision(matrix), precision(matrix, average="micro")
    (0.5, 0.75, 0.75)

    Source: lecture row L41; scikit-learn's `precision_score(labels=<classes with rows>, zero_division=0)`. A class
    asked for and never predicted is NaN here, and 0 in scikit-learn and torchmetrics.
    """
    values = precisions(matrix)
    return float(values[positive]) if positive is not None else averaged(values, matrix, average)


def recall(matrix: Tensor, *, positive: int | None = None, average: Average = "macro") -> float:
    """Recall (sensitivity, true-positive rate), `TP / (TP + FN)`: the share of the rows of a class that are found.

    Args:
        matrix: a confusion matrix `[C, C]`, row = true class, column = predicted class.
        positive: the class it is of; None for a mean over classes.
        average: as in `precision`; `"weighted"` and `"micro"` are the accuracy.

    >>> recall(torch.tensor([[2, 1], [1, 3]]), positive=1)
    0.75

    Source: lecture row L41; scikit-learn's `recall_score(labels=<classes with rows>)`. A class without rows is NaN
    here, and 0 in scikit-learn and torchmetrics.
    """
    values = recalls(matrix)
    return float(values[positive]) if positive is not None else averaged(values, matrix, average)


def f_beta(matrix: Tensor, *, beta: float, positive: int | None = None, average: Average = "macro") -> float:
    """F-beta: the weighted harmonic mean of precision and recall, in which recall weighs beta² times as much.

    `F = (1 + β²) TP / ((1 + β²) TP + β² FN + FP)`

    Args:
        matrix: a confusion matrix `[C, C]`, row = true class, column = predicted class.
        beta: above 0; 0.5 favors precision, 2 recall.
        positive: the class it is of; None for a mean over classes.
        average: as in `precision`. The mean is that of the classes' F, not the F of their mean precision and recall
            (Opitz and Burst 2019).

    Raises:
        UsageError: for a beta that is not above 0.

    >>> f_beta(torch.tensor([[2, 0], [1, 1]]), beta=0.5, positive=1)
    0.833...

    Source: van Rijsbergen 1979, "Information Retrieval"; L41. As scikit-learn's `fbeta_score(zero_division=0)` over the
    classes with rows; a class without rows is NaN here.
    """
    if not beta > 0:
        raise UsageError(f"beta is a number above 0; received {beta}. 1 weighs precision and recall alike.")
    values = f_betas(matrix, beta=beta)
    return float(values[positive]) if positive is not None else averaged(values, matrix, average)


def f1(matrix: Tensor, *, positive: int | None = None, average: Average = "macro") -> float:
    """F1, `2 TP / (2 TP + FP + FN)`: the harmonic mean of precision and recall, `f_beta` at beta 1.

    The mean is the mean of the classes' F1, not the F1 of their mean precision and recall (Opitz and Burst 2019).

    Args:
        matrix: a confusion matrix `[C, C]`, row = true class, column = predicted class.
        positive: the class it is of; None for a mean over classes.
        average: as in `precision`.

    >>> f1(torch.tensor([[2, 0], [1, 1]]), positive=1)
    0.6666666666666666

    Source: van Rijsbergen 1979, "Information Retrieval"; L41. As scikit-learn's, see `f_beta`.
    """
    return f_beta(matrix, beta=1, positive=positive, average=average)


def specificity(matrix: Tensor, *, positive: int | None = None, average: Average = "macro") -> float:
    """Specificity (true-negative rate), `TN / (TN + FP)`: the share of the other classes' rows not called this class.

    Args:
        matrix: a confusion matrix `[C, C]`, row = true class, column = predicted class.
        positive: the class it is of; None for a mean over classes.
        average: as in `precision`.

    >>> specificity(torch.tensor([[3, 1], [1, 3]]), positive=1)
    0.75

    Source: Yerushalmy 1947; L41. In a binary task scikit-learn's `recall_score(pos_label=0)`; NaN where all rows are of
    this class, while torchmetrics answers 0.
    """
    values = specificities(matrix)
    if positive is not None:
        return float(values[positive])
    if num_present(matrix) < 2:
        return torch.nan
    if average == "micro":
        hits, others = negatives(matrix)
        return float(hits.sum() / others.sum())
    return averaged(values, matrix, average)


def num_present(matrix: Tensor) -> int:
    return int((matrix.sum(1) > 0).sum())


def why_undefined(name: str, matrix: Tensor, *, positive: int | None = None) -> str:
    """Why the measure of that name is NaN; empty where it is defined."""
    rows, called = matrix.sum(1), matrix.sum(0)
    one_class = int((rows > 0).sum()) < 2
    if not float(matrix.sum()):
        return "there are no rows"
    if name in ("balanced_accuracy", "mcc") and one_class:
        return "all rows are of one class"
    if name == "mcc" and int((called > 0).sum()) < 2:
        return "one class was always predicted"
    if name.endswith("kappa") and bool(matrix.diagonal().max() == matrix.sum()):
        return "all rows are of one class, and it was always predicted"
    if name.endswith("specificity") and (one_class if positive is None else bool(rows[positive] == matrix.sum())):
        return "no row is of another class"
    if positive is None:
        return ""
    if (name == "recall" or name.startswith("f")) and not float(rows[positive]):
        return "no row is of this class"
    if name == "precision" and not float(called[positive]):
        return "this class was never predicted"
    return ""

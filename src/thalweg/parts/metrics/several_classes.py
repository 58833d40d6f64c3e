"""Ranking with several classes: each against the rest, or against each other, averaged (L43)."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from thalweg.parts.metrics.forms import Kind, Metric, Scores, check_word, class_scores, labels, same_rows
from thalweg.parts.metrics.ranking import average_precision, ranked, roc_auc, single_class

ClassAverage = Literal["macro", "weighted"]


def log_odds(logits: Tensor) -> Tensor:
    """`[N, C]` scores `log p_k/(1-p_k) = z_k - logsumexp(z_j, j ≠ k)`: the order of p_k without its rounding.

    >>> log_odds(torch.tensor([[0.0, 800.0, 0.0]], dtype=torch.float64)).tolist()
    [[-800.0, 799.306..., -800.0]]
    """
    top = logits.argmax(1, keepdim=True)
    total = logits.logsumexp(1, keepdim=True)
    # All others of a class that is not the first: log(1 - p_k), in which p_k is at most 1/2.
    rest = total + torch.log1p(-(logits - total).exp())
    rest = rest.scatter(1, top, logits.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True))
    return logits - rest


def one_vs_rest(output: Tensor, target: Tensor, *, scores: Scores = "logits") -> Iterator[tuple[int, Tensor, Tensor]]:
    """For each class with rows, and rows of others: the class, its `[N]` scores and its `[N]` target of 0 and 1."""
    values, true = class_odds(output, target, scores)
    for k in range(values.shape[1]):
        if not single_class(true == k):
            yield k, values[:, k], (true == k).long()


def class_odds(output: Tensor, target: Tensor, scores: Scores) -> tuple[Tensor, Tensor]:
    """`[N, C]` scores that rank rows for each class, and `[N]` true classes."""
    values = class_scores(output, scores)
    same_rows(values, target)
    true = labels(target, num_classes=values.shape[1]).to(values.device)
    return (log_odds(values) if scores == "logits" else values), true


def macro_roc_auc(
    output: Tensor, target: Tensor, *, scores: Scores = "logits", average: ClassAverage = "macro"
) -> float:
    """One-vs-rest area under the ROC curve: the mean over the classes with rows of the area of each against the rest.

    NaN with fewer than two classes.

    Args:
        output: `[N, C]`.
        target: `[N]` class indices.
        scores: what the output holds.
        average: `"macro"`, the plain mean; `"weighted"`, weighted by the classes' rows.

    >>> logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
    >>> macro_roc_auc(logits, torch.tensor([0, 1, 2, 2]))
    0.944...

    Source: Provost and Domingos 2001 (weighted); L43. As scikit-learn's `roc_auc_score(multi_class="ovr")` where all
    classes have rows. Of logits it takes the order of `log p/(1-p)`, since probabilities near 1 round to the same.
    """
    return mean_over_classes(roc_auc, output, target, scores, average)


def macro_average_precision(
    output: Tensor, target: Tensor, *, scores: Scores = "logits", average: ClassAverage = "macro"
) -> float:
    """One-vs-rest average precision: the mean over the classes with rows of the value of each against the rest.

    Args:
        output: `[N, C]`.
        target: `[N]` class indices.
        scores: what the output holds.
        average: `"macro"`, the plain mean; `"weighted"`, weighted by the classes' rows.

    >>> logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
    >>> macro_average_precision(logits, torch.tensor([0, 1, 2, 2]))
    0.833...

    Source: lecture row L43. As scikit-learn's `average_precision_score` of the indicators of classes with rows.
    """
    return mean_over_classes(average_precision, output, target, scores, average)


def mean_over_classes(
    measure: Callable[[Tensor, Tensor], float], output: Tensor, target: Tensor, scores: Scores, average: ClassAverage
) -> float:
    check_word("average", average, ClassAverage)
    found, sizes = [], []
    for _, score, positive in one_vs_rest(output, target, scores=scores):
        found.append(measure(score, positive))
        sizes.append(int(positive.sum()) if average == "weighted" else 1)
    return weighted_mean(found, sizes)


def one_vs_one_auc(
    output: Tensor, target: Tensor, *, scores: Scores = "logits", average: ClassAverage = "macro"
) -> float:
    """One-vs-one area under the ROC curve (Hand and Till's M): the mean over pairs of classes, on their rows alone.

    `2 / (C (C - 1)) Σ_{j<k} (A(j|k) + A(k|j)) / 2`, where A(j|k) is the probability that a row of j scores higher for j
    than a row of k does. Unlike `macro_roc_auc` it does not depend on how frequent the classes are.

    Args:
        output: `[N, C]`.
        target: `[N]` class indices.
        scores: what the output holds.
        average: `"macro"`, the plain mean over pairs; `"weighted"`, weighted by the pairs' rows.

    >>> logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
    >>> round(one_vs_one_auc(logits, torch.tensor([0, 1, 2, 2])), 4)
    0.9583

    Source: Hand and Till 2001; weighted: Ferri, Hernández-Orallo and Modroiu 2009; L43. As scikit-learn's
    `roc_auc_score(multi_class="ovo")`; pairs of which one has no rows are left out.
    """
    check_word("average", average, ClassAverage)
    values, true = class_odds(output, target, scores)
    present = torch.unique(true).tolist()
    found, sizes = [], []
    for i, j in enumerate(present):
        for k in present[i + 1 :]:
            rows = (true == j) | (true == k)
            of_j, score = (true[rows] == j).long(), values[rows]
            found.append((roc_auc(score[:, j], of_j) + roc_auc(score[:, k], 1 - of_j)) / 2)
            sizes.append(len(of_j) if average == "weighted" else 1)
    return weighted_mean(found, sizes)


def weighted_mean(values: list[float], sizes: list[int]) -> float:
    """`Σ n v / Σ n`; NaN of nothing."""
    return sum(n * v for n, v in zip(sizes, values, strict=True)) / sum(sizes) if values else torch.nan


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits."""
    if kind != "multiclass":
        return []
    return [
        Metric("auc", True, macro_roc_auc, ranked),
        Metric("weighted_auc", True, partial(macro_roc_auc, average="weighted"), ranked),
        Metric("ovo_auc", True, one_vs_one_auc, ranked),
        Metric("weighted_ovo_auc", True, partial(one_vs_one_auc, average="weighted"), ranked),
        Metric("average_precision", True, macro_average_precision, ranked),
        Metric("weighted_average_precision", True, partial(macro_average_precision, average="weighted"), ranked),
    ]

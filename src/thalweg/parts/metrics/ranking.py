"""Measures of order: ROC and precision-recall curves, the area under them, exact by one sort, ties right (L43).

They take raw scores: a logit keeps the order that its probability loses, because a sigmoid rounds to 1 from 17 in
float32 and from 37 in float64. With one class alone there is nothing to rank, and every measure here is NaN.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from thalweg.parts.metrics.forms import (
    Kind,
    Metric,
    Scores,
    binary_scores,
    class_scores,
    exact,
    labels,
    refuse_nan,
    same_rows,
)


def cumulative_counts(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """At each distinct score, from the highest: the score, and how many positive and negative rows reach it.

    Args:
        scores: `[N]`; higher means class 1. Any monotone scale.
        target: `[N]` of 0 and 1.

    Raises:
        DataError: for a NaN score, a label other than 0 and 1, or lengths that differ.

    >>> [t.tolist() for t in cumulative_counts(torch.tensor([1.0, 3.0, 3.0]), torch.tensor([0, 1, 0]))]
    [[3.0, 1.0], [1, 1], [1, 2]]
    """
    flat = exact(scores).reshape(-1)
    same_rows(flat, target)
    refuse_nan(flat, "The score")
    values, order = flat.sort(descending=True)
    positive = labels(target, num_classes=2).to(values.device)[order]
    last = torch.ones_like(values, dtype=torch.bool)
    last[:-1] = values[1:] != values[:-1]  # tied scores enter together
    rank = torch.arange(1, len(values) + 1, device=values.device)
    num_positive = positive.cumsum(0)
    return values[last], num_positive[last], (rank - num_positive)[last]


def roc_curve(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """False-positive rate, true-positive rate and threshold at every distinct score, from (0, 0) to (1, 1).

    A row is called positive where its score is at least the threshold; the first threshold is infinite. As
    scikit-learn's `roc_curve(drop_intermediate=False)`. A rate whose class has no row is NaN.
    """
    thresholds, true, false = cumulative_counts(scores, target)
    infinite = thresholds.new_full((1,), torch.inf)
    return from_zero(false) / count(false), from_zero(true) / count(true), torch.cat([infinite, thresholds])


def precision_recall_curve(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Recall, precision and threshold at every distinct score, from the highest.

    No point is invented at recall 0 (scikit-learn adds precision 1 there), since none was measured.
    """
    thresholds, true, false = cumulative_counts(scores, target)
    return exact(true) / count(true), exact(true) / exact(true + false), thresholds


def roc_auc(scores: Tensor, target: Tensor) -> float:
    """Probability that a positive row scores above a negative one, ties counting one half: `U / (P N)`.

    Args:
        scores: `[N]` raw scores; higher means class 1.
        target: `[N]` of 0 and 1.

    Source: Mann and Whitney 1947; Hanley and McNeil 1982.

    >>> roc_auc(torch.tensor([60.0, 61.0, 62.0, 63.0]), torch.tensor([0, 0, 1, 1]))
    1.0
    """
    _, true, false = cumulative_counts(scores, target)
    if single_class(target):
        return torch.nan
    steps = torch.diff(false, prepend=false.new_zeros(1))
    twice = (steps * (2 * true - torch.diff(true, prepend=true.new_zeros(1)))).sum()  # whole numbers: exact
    return int(twice) / (2 * int(true[-1]) * int(false[-1]))


def average_precision(scores: Tensor, target: Tensor) -> float:
    """`sum_k (R_k - R_{k-1}) P_k` over the distinct scores from the highest: precision, averaged over the positives.

    As scikit-learn defines it: no interpolation, which would be optimistic (Davis and Goadrich 2006).

    >>> average_precision(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.8333333333333333
    """
    _, true, false = cumulative_counts(scores, target)
    if single_class(target):
        return torch.nan
    steps = torch.diff(true, prepend=true.new_zeros(1))
    return float((exact(steps) * exact(true) / exact(true + false)).sum() / exact(true[-1]))


def one_vs_rest(output: Tensor, target: Tensor, *, scores: Scores = "logits") -> Iterator[tuple[int, Tensor, Tensor]]:
    """For each class with rows, and rows of others: the class, its `[N]` scores and its `[N]` target of 0 and 1.

    The score of class k is `log p_k/(1-p_k) = z_k - logsumexp(z_j, j != k)`: the order of the probability without its
    rounding.
    """
    values = class_scores(output, scores)
    same_rows(values, target)
    true = labels(target, num_classes=values.shape[1]).to(values.device)
    for k in range(values.shape[1]):
        if not single_class(true == k):
            others = torch.cat([values[:, :k], values[:, k + 1 :]], 1)
            score = values[:, k] if scores == "probabilities" else values[:, k] - others.logsumexp(1)
            yield k, score, (true == k).long()


def macro_roc_auc(output: Tensor, target: Tensor, *, scores: Scores = "logits") -> float:
    """Mean over the classes with rows of the area of that class against the rest; NaN with fewer than two classes.

    Args:
        output: `[N, C]`.
        target: `[N]` class indices.
        scores: what the output holds.

    Source: Provost and Domingos 2001, with equal weights.
    """
    areas = [roc_auc(score, positive) for _, score, positive in one_vs_rest(output, target, scores=scores)]
    return sum(areas) / len(areas) if areas else torch.nan


def macro_average_precision(output: Tensor, target: Tensor, *, scores: Scores = "logits") -> float:
    """Mean over the classes with rows of the average precision of that class against the rest."""
    areas = [average_precision(score, positive) for _, score, positive in one_vs_rest(output, target, scores=scores)]
    return sum(areas) / len(areas) if areas else torch.nan


def single_class(target: Tensor) -> bool:
    return not len(target) or bool((target == target[0]).all())


def why_undefined(target: Tensor) -> str:
    """Why a ranking cannot be measured on these targets; empty where it can."""
    if not len(target):
        return "there are no rows"
    return "all rows are of one class, so there is nothing to rank" if single_class(target) else ""


def from_zero(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts]).double()


def count(cumulative: Tensor) -> Tensor:
    """The last of a cumulative count, as float64; 0 without rows, so that a rate becomes NaN."""
    return from_zero(cumulative)[-1]


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits; several classes are averaged, each against the rest."""

    def why(_: Tensor, target: Tensor) -> str:
        return why_undefined(target)

    if kind == "binary":
        return [
            Metric("auc", True, lambda output, target: roc_auc(binary_scores(output), target), why),
            Metric(
                "average_precision", True, lambda output, target: average_precision(binary_scores(output), target), why
            ),
        ]
    if kind == "multiclass":
        return [
            Metric("auc", True, macro_roc_auc, why),
            Metric("average_precision", True, macro_average_precision, why),
        ]
    return []

"""Measures of order: ROC and precision-recall curves, the area under them, exact by one sort, ties right (L43).

They take raw scores: a logit keeps the order that its probability loses, because a sigmoid rounds to 1 from 17 in
float32 and from 37 in float64. With one class alone there is nothing to rank, and every measure here is NaN.
"""

import torch
from torch import Tensor

from thalweg.parts.metrics.forms import Kind, Metric, binary_scores, exact, labels, refuse_nan, row_weights, same_rows

Counts = tuple[Tensor, Tensor, Tensor]  # of distinct scores, from the highest: score, positive and negative rows so far


def cumulative_counts(scores: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Counts:
    """At each distinct score, from the highest: the score, and how many positive and negative rows reach it.

    Args:
        scores: `[N]`; higher means class 1. Any monotone scale.
        target: `[N]` of 0 and 1.
        weight: `[N]` of at least 0; None counts each row once. Rows of weight 0 are as if they were not there.

    Raises:
        DataError: for a NaN score, a label other than 0 and 1, or lengths that differ.

    >>> [t.tolist() for t in cumulative_counts(torch.tensor([1.0, 3.0, 3.0]), torch.tensor([0, 1, 0]))]
    [[3.0, 1.0], [1, 1], [1, 2]]
    """
    flat = exact(scores).reshape(-1)
    same_rows(flat, target)
    refuse_nan(flat, "The score")
    positive = labels(target, num_classes=2).to(flat.device)
    if weight is not None:
        shares = row_weights(weight, flat)
        counted = shares > 0
        flat, positive, shares = flat[counted], positive[counted], shares[counted]
    order = descending(flat)
    values, positive = (
        flat.index_select(0, order),
        positive.index_select(0, order),
    )  # a third of the time of flat[order]
    last = torch.ones_like(values, dtype=torch.bool)
    last[:-1] = values[1:] != values[:-1]  # tied scores enter together
    ends = last.nonzero()[:, 0]
    if weight is None:
        num_positive = positive.cumsum(0)[ends]
        return values[ends], num_positive, ends + 1 - num_positive
    shares = shares.index_select(0, order)
    return values[ends], (shares * positive).cumsum(0)[ends], (shares * (1 - positive)).cumsum(0)[ends]


def descending(values: Tensor) -> Tensor:
    """`[N]` the order of float64 values from the highest; numpy's vectorized sort takes a quarter of torch's time."""
    if values.device.type == "cpu":
        return torch.from_numpy((-values).numpy().argsort())
    return values.argsort(descending=True)


def roc_curve(scores: Tensor, target: Tensor, *, weight: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """ROC curve: false-positive rate, true-positive rate and threshold at every distinct score, from (0, 0) to (1, 1).

    `FPR(t) = #{y = 0, s ≥ t} / #{y = 0}`, `TPR(t) = #{y = 1, s ≥ t} / #{y = 1}`; the first threshold is infinite.

    Args:
        scores: `[N]` raw scores; higher means class 1.
        target: `[N]` of 0 and 1.
        weight: `[N]` of at least 0; None counts each row once.

    >>> [t.tolist() for t in roc_curve(torch.tensor([0.1, 0.4, 0.8]), torch.tensor([0, 1, 1]))][:2]
    [[0.0, 0.0, 0.0, 1.0], [0.0, 0.5, 1.0, 1.0]]

    Source: Fawcett 2006, "An introduction to ROC analysis"; L43. As scikit-learn's, without dropped points; a rate
    whose class has no row is NaN. torchmetrics passes scores outside 0 to 1 through a sigmoid first.
    """
    return roc_points(cumulative_counts(scores, target, weight=weight))


def roc_points(counts: Counts) -> tuple[Tensor, Tensor, Tensor]:
    """False-positive rate, true-positive rate and threshold of counts."""
    thresholds, true, false = counts
    infinite = thresholds.new_full((1,), torch.inf)
    return from_zero(false) / count(false), from_zero(true) / count(true), torch.cat([infinite, thresholds])


def precision_recall_curve(
    scores: Tensor, target: Tensor, *, weight: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Precision-recall curve: recall, precision and threshold at every distinct score, from the highest.

    Args:
        scores: `[N]` raw scores; higher means class 1.
        target: `[N]` of 0 and 1.
        weight: `[N]` of at least 0; None counts each row once.

    >>> recall, precision, _ = precision_recall_curve(torch.tensor([0.1, 0.4, 0.8]), torch.tensor([0, 1, 1]))
    >>> recall.tolist(), [round(p, 3) for p in precision.tolist()]
    ([0.5, 1.0, 1.0], [1.0, 1.0, 0.667])

    Source: Davis and Goadrich 2006; L43. No point is invented at recall 0 (scikit-learn adds precision 1 there), since
    none was measured.
    """
    return precision_recall_points(cumulative_counts(scores, target, weight=weight))


def precision_recall_points(counts: Counts) -> tuple[Tensor, Tensor, Tensor]:
    """Recall, precision and threshold of counts."""
    thresholds, true, false = counts
    return exact(true) / count(true), exact(true) / exact(true + false), thresholds


def roc_auc(scores: Tensor, target: Tensor, *, weight: Tensor | None = None) -> float:
    """Area under the ROC curve: the probability that a positive row scores above a negative one, ties counting 1/2.

    `AUC = 1/(P N) Σ_{y_i = 1} Σ_{y_j = 0} ([s_i > s_j] + [s_i = s_j] / 2)`

    Args:
        scores: `[N]` raw scores; higher means class 1.
        target: `[N]` of 0 and 1.
        weight: `[N]` of at least 0; None counts each row once.

    Raises:
        DataError: for a NaN score, a label other than 0 and 1, or lengths that differ.

    >>> roc_auc(torch.tensor([60.0, 61.0, 62.0, 63.0]), torch.tensor([0, 0, 1, 1]))
    1.0

    Source: Mann and Whitney 1947; Hanley and McNeil 1982; L43. As scikit-learn's `roc_auc_score`, which is NaN for one
    class too, with a warning; torchmetrics answers 0, and 1/2 for the scores above, which its sigmoid rounds to 1.
    """
    return area(cumulative_counts(scores, target, weight=weight))


def area(counts: Counts) -> float:
    """The area under the ROC curve of counts; NaN where a class has no row."""
    _, true, false = counts
    if one_class(counts):
        return torch.nan
    steps = torch.diff(false, prepend=false.new_zeros(1))
    twice = (steps * (2 * true - torch.diff(true, prepend=true.new_zeros(1)))).sum()
    if not true.is_floating_point():
        return int(twice) / (2 * int(true[-1]) * int(false[-1]))  # whole numbers: exact
    return float(twice / (2 * true[-1] * false[-1]))


def average_precision(scores: Tensor, target: Tensor, *, weight: Tensor | None = None) -> float:
    """Average precision: `Σ_k (R_k - R_{k-1}) P_k` over the distinct scores from the highest.

    The precision at each positive row, averaged over them.

    Args:
        scores: `[N]` raw scores; higher means class 1.
        target: `[N]` of 0 and 1.
        weight: `[N]` of at least 0; None counts each row once.

    >>> average_precision(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.8333333333333333

    Source: Davis and Goadrich 2006, who show that to interpolate would be optimistic; L43. As scikit-learn's
    `average_precision_score`, which answers 0 without positive rows and 1 without negative ones.
    """
    return precision_area(cumulative_counts(scores, target, weight=weight))


def precision_area(counts: Counts) -> float:
    """The average precision of counts; NaN where a class has no row."""
    _, true, false = counts
    if one_class(counts):
        return torch.nan
    steps = torch.diff(true, prepend=true.new_zeros(1))
    return float((exact(steps) * exact(true) / exact(true + false)).sum() / exact(true[-1]))


def one_class(counts: Counts) -> bool:
    _, true, false = counts
    return not len(true) or not bool((true[-1] > 0) & (false[-1] > 0))


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


def ranked(_: Tensor, target: Tensor) -> str:
    """`why_undefined` as a metric asks it."""
    return why_undefined(target)


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits."""
    if kind != "binary":
        return []
    return [
        Metric("auc", True, lambda output, target: roc_auc(binary_scores(output), target), ranked),
        Metric(
            "average_precision", True, lambda output, target: average_precision(binary_scores(output), target), ranked
        ),
    ]

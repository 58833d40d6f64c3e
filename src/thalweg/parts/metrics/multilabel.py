"""Measures of several labels per row: F1, two accuracies that are not the same thing, ranking (L41, L43).

A label that no row has cannot be found: it has no recall, no F1, no area, and is left out of every mean over labels.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.parts.metrics import ranking
from thalweg.parts.metrics.forms import Kind, Metric, Scores, exact, label_matrix, label_scores, neutral, same_rows

TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE, RIGHT, EXACT, ROWS = range(6)


def called(output: Tensor, *, scores: Scores = "logits", threshold: Tensor | float | None = None) -> Tensor:
    """`[N, T]` bool: which labels are called, by one threshold or one per label; at probability 1/2 by default."""
    return label_scores(output, scores) > (neutral(scores) if threshold is None else threshold)


def counts(output: Tensor, target: Tensor) -> Tensor:
    """`[6, T]` int64 per label: true positive, false positive, false negative and right entries; rows whose labels are
    all right; rows. The last two are the same for all labels.
    """
    same_rows(output, target)
    found = called(output)
    return counts_of(found, label_matrix(target, found.shape[1]).to(found.device))


def counts_of(found: Tensor, true: Tensor) -> Tensor:
    """`counts` of labels called and labels true, both `[N, T]` bool."""
    all_right = (found == true).all(1).sum().expand(true.shape[1])
    rows = torch.full_like(all_right, len(true))
    parts = [found & true, found & ~true, ~found & true, found == true]
    return torch.stack([*(part.sum(0) for part in parts), all_right, rows])


def f1s(state: Tensor) -> Tensor:
    """`[T]` F1 of each label, `2 TP / (2 TP + FP + FN)`; NaN for a label that no row has."""
    hits, support = exact(state[TRUE_POSITIVE]), state[TRUE_POSITIVE] + state[FALSE_NEGATIVE]
    value = 2 * hits / (hits + exact(support) + exact(state[FALSE_POSITIVE]))
    return value.where(support > 0, torch.nan)


def micro_f1(state: Tensor) -> float:
    """F1 of all entries together, `2 TP / (2 TP + FP + FN)` with sums over labels; NaN where no row has any label.

    >>> micro_f1(counts(torch.tensor([[2.0, -1.0], [1.0, 1.0]]), torch.tensor([[1, 0], [0, 1]])))
    0.8
    """
    return float(f1s(state.sum(1, keepdim=True)))


def macro_f1(state: Tensor) -> float:
    """Mean F1 over the labels that some row has."""
    return float(f1s(state).nanmean())


def subset_accuracy(state: Tensor) -> float:
    """Share of rows whose labels are all right; scikit-learn's `accuracy_score` of a label matrix."""
    return float(exact(state[EXACT, 0]) / exact(state[ROWS, 0]))


def label_accuracy(state: Tensor) -> float:
    """Share of entries (a row and a label) that are right: 1 - Hamming loss. High wherever labels are rare."""
    return float(exact(state[RIGHT].sum()) / exact(state[ROWS].sum()))


def problems(output: Tensor, target: Tensor, *, scores: Scores = "logits") -> list[tuple[int, Tensor, Tensor]]:
    """For each label that some rows have and some have not: its number, its `[N]` scores and `[N]` int64 target."""
    same_rows(output, target)
    values = label_scores(output, scores)
    true = label_matrix(target, values.shape[1]).to(values.device)
    return [(k, values[:, k], true[:, k].long()) for k in range(true.shape[1]) if not ranking.single_class(true[:, k])]


def mean_over_labels(measure: Callable[[Tensor, Tensor], float], output: Tensor, target: Tensor) -> float:
    """The mean of a measure over the labels for which it is defined; NaN where there is none."""
    values = [measure(score, true) for _, score, true in problems(output, target)]
    return sum(values) / len(values) if values else torch.nan


def log_losses(output: Tensor, target: Tensor, *, scores: Scores = "logits") -> Tensor:
    """`[N]` float64 binary cross-entropy of each row, the mean over its labels, in nats."""
    same_rows(output, target)
    values = label_scores(output, scores)
    true = label_matrix(target, values.shape[1]).to(values.device)
    if scores == "logits":
        return -functional.logsigmoid(torch.where(true, values, -values)).mean(1)
    return -torch.where(true, values, 1 - values).log().mean(1)


def why_undefined(target: Tensor) -> str:
    """Why measures of labels are NaN on these targets; empty where they are defined."""
    if not len(target):
        return "there are no rows"
    return "" if bool((target != 0).any()) else "no row has any label"


def why_unranked(target: Tensor) -> str:
    """Why nothing can be ranked: each label is in all rows or in none."""
    if not len(target):
        return "there are no rows"
    varies = (target != target[:1]).any()
    return "" if bool(varies) else "each label is in all rows or in none, so there is nothing to rank"


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits, a label being called at probability 1/2."""
    if kind != "multilabel":
        return []

    def of(name: str, merge: Callable[[Tensor], float], why: Callable[[Tensor], str]) -> Metric:
        return Metric(
            name,
            True,
            lambda output, target: merge(counts(output, target)),
            lambda _, target: why(target),
            counts,
            merge,
        )

    def no_rows(target: Tensor) -> str:
        return "" if len(target) else "there are no rows"

    def ranked(name: str, measure: Callable[[Tensor, Tensor], float]) -> Metric:
        return Metric(name, True, partial(mean_over_labels, measure), lambda _, target: why_unranked(target))

    return [
        of("micro_f1", micro_f1, why_undefined),
        of("macro_f1", macro_f1, why_undefined),
        of("subset_accuracy", subset_accuracy, no_rows),
        of("label_accuracy", label_accuracy, no_rows),
        ranked("macro_average_precision", ranking.average_precision),
        ranked("macro_auc", ranking.roc_auc),
    ]

"""Measures of several labels per row: F, Jaccard, two accuracies that are not the same thing, ranking (L41, L43).

A label that no row has cannot be found: it has no recall, no F1, no area, and is left out of every mean over labels.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.errors import UsageError
from thalweg.parts.metrics import ranking
from thalweg.parts.metrics.forms import (
    Form,
    Kind,
    Metric,
    Scores,
    check_word,
    exact,
    label_matrix,
    label_scores,
    mean_metric,
    neutral,
    no_rows,
    same_rows,
)

TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE, RIGHT, EXACT, ROWS = range(6)
Share = Literal["precision", "recall", "f_beta", "jaccard"]
LabelAverage = Literal["micro", "macro", "weighted"]
OfCounts = Callable[[Tensor], float]


def called(output: Tensor, *, scores: Scores = "logits", threshold: Tensor | float | None = None) -> Tensor:
    """`[N, T]` bool: which labels are called, by one threshold or one per label; at probability 1/2 by default."""
    return label_scores(output, scores) > (neutral(scores) if threshold is None else threshold)


def counts(output: Tensor, target: Tensor) -> Tensor:
    """`[6, T]` int64 per label: true positive, false positive, false negative and right entries; rows whose labels are
    all right; rows. The last two are the same for all labels.
    """
    return counts_of(*called_and_true(output, target))


def called_and_true(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """`[N, T]` bool each: the labels called at probability 1/2 of a network's logits, and those the rows have."""
    same_rows(output, target)
    found = called(output)
    return found, label_matrix(target, found.shape[1]).to(found.device)


def counts_of(found: Tensor, true: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """`counts` of labels called and labels true, both `[N, T]` bool; float64 sums of weights where these are given."""
    right = found == true
    whole = right.all(1, keepdim=True).expand_as(true)
    parts = torch.stack([found & true, found & ~true, ~found & true, right, whole, torch.ones_like(true)])
    return parts.sum(1) if weight is None else torch.einsum("knt,n->kt", parts.double(), weight)


def ratio(state: Tensor, share: Share, beta: float = 1.0) -> tuple[Tensor, Tensor]:
    """Numerator and denominator of a share of `counts`, float64, in the shape of a count."""
    check_word("share", share, Share)
    hits, extra, missed = (exact(state[k]) for k in (TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE))
    if share == "precision":
        return hits, hits + extra
    if share == "recall":
        return hits, hits + missed
    if share == "jaccard":
        return hits, hits + extra + missed
    return (1 + beta**2) * hits, (1 + beta**2) * hits + beta**2 * missed + extra


def label_share(state: Tensor, share: Share, *, average: LabelAverage = "macro", beta: float = 1.0) -> float:
    """Precision, recall, F-beta or Jaccard index of label sets, averaged over labels.

    With TP, FP, FN per label: `TP / (TP + FP)`, `TP / (TP + FN)`, `(1+β²) TP / ((1+β²) TP + β² FN + FP)`,
    `TP / (TP + FP + FN)`.

    Args:
        state: `[6, T]` of `multilabel.counts`.
        share: `"precision"`, `"recall"`, `"f_beta"` or `"jaccard"`.
        average: `"micro"`, of the sums over labels; `"macro"`, the mean over the labels that some row has;
            `"weighted"`, that mean weighted by their rows. A label that rows have and that was never called has
            precision 0.
        beta: of F-beta; above 0.

    Raises:
        UsageError: for another share or average.

    >>> from thalweg.parts.metrics.multilabel import counts
    >>> state = counts(torch.tensor([[2.0, -1.0], [1.0, 1.0]]), torch.tensor([[1, 0], [0, 1]]))
    >>> label_share(state, "precision", average="micro"), label_share(state, "jaccard")
    (0.666..., 0.75)

    Source: Tsoumakas and Katakis 2007, "Multi-label classification: an overview"; L41. scikit-learn's
    `precision_score`, `recall_score`, `fbeta_score` and `jaccard_score` on the labels that some row has.
    """
    check_word("average", average, LabelAverage)
    support = state[TRUE_POSITIVE] + state[FALSE_NEGATIVE]
    if average == "micro":
        top, bottom = ratio(state.sum(1), share, beta)
        return float(top / bottom) if float(support.sum()) else torch.nan
    top, bottom = ratio(state, share, beta)
    present = support > 0
    weights = exact(support)[present] if average == "weighted" else torch.ones_like(exact(support)[present])
    values = (top / bottom)[present].nan_to_num(0.0)
    return float((weights * values).sum() / weights.sum())


def f1s(state: Tensor) -> Tensor:
    """`[T]` F1 of each label, `2 TP / (2 TP + FP + FN)`; NaN for a label that no row has."""
    top, bottom = ratio(state, "f_beta")
    return (top / bottom).where(state[TRUE_POSITIVE] + state[FALSE_NEGATIVE] > 0, torch.nan)


def micro_f1(state: Tensor) -> float:
    """F1 of all entries together, `2 TP / (2 TP + FP + FN)` with sums over labels; NaN where no row has any label.

    >>> micro_f1(counts(torch.tensor([[2.0, -1.0], [1.0, 1.0]]), torch.tensor([[1, 0], [0, 1]])))
    0.8
    """
    return label_share(state, "f_beta", average="micro")


def macro_f1(state: Tensor) -> float:
    """Mean F1 over the labels that some row has."""
    return label_share(state, "f_beta")


def subset_accuracy(state: Tensor) -> float:
    """Share of rows whose labels are all right.

    Args:
        state: `[6, T]` of `multilabel.counts`.

    >>> from thalweg.parts.metrics.multilabel import counts
    >>> subset_accuracy(counts(torch.tensor([[2.0, -1.0], [1.0, 1.0]]), torch.tensor([[1, 0], [0, 1]])))
    0.5

    Source: lecture row L41. As scikit-learn's `accuracy_score` of a label matrix.
    """
    return float(exact(state[EXACT, 0]) / exact(state[ROWS, 0]))


def label_accuracy(state: Tensor) -> float:
    """Share of entries (a row and a label) that are right: 1 - Hamming loss. High wherever labels are rare."""
    return float(exact(state[RIGHT].sum()) / exact(state[ROWS].sum()))


def hamming_loss(state: Tensor) -> float:
    """Share of entries (a row and a label) that are wrong.

    Args:
        state: `[6, T]` of `multilabel.counts`.

    >>> from thalweg.parts.metrics.multilabel import counts
    >>> hamming_loss(counts(torch.tensor([[2.0, -1.0], [1.0, 1.0]]), torch.tensor([[1, 0], [0, 1]])))
    0.25

    Source: Hamming 1950; L41. As scikit-learn's `hamming_loss`. Low wherever labels are rare.
    """
    total = exact(state[ROWS].sum())
    return float((total - exact(state[RIGHT].sum())) / total)


def row_shares(found: Tensor, true: Tensor, share: Share, *, beta: float = 1.0) -> Tensor:
    """`[N]` float64: precision, recall, F-beta or Jaccard index of each row's label set; NaN where it is 0/0.

    >>> row_shares(torch.tensor([[True, True], [False, False]]), torch.tensor([[True, False]] * 2), "precision")
    tensor([0.5000,    nan], dtype=torch.float64)
    """
    top, bottom = ratio(
        torch.stack([(found & true).sum(1), (found & ~true).sum(1), (~found & true).sum(1)]), share, beta
    )
    return top / bottom


def sample_share(output: Tensor, target: Tensor, share: Share, *, beta: float = 1.0) -> float:
    """Precision, recall, F-beta or Jaccard index of each row's label set, averaged over the rows ("samples").

    Args:
        output: `[N, T]` logits; a label is called at probability 1/2.
        target: `[N, T]` of 0 and 1.
        share: `"precision"`, `"recall"`, `"f_beta"` or `"jaccard"`.
        beta: of F-beta; above 0.

    >>> sample_share(torch.tensor([[2.0, -1.0], [1.0, 1.0]]), torch.tensor([[1, 0], [0, 1]]), "jaccard")
    0.75

    Source: Godbole and Sarawagi 2004; L41. As scikit-learn's `average="samples", zero_division=nan`: a row for which
    the share is 0/0, such as the recall of a row without labels, is left out.
    """
    return float(row_shares(*called_and_true(output, target), share, beta=beta).nanmean())


def problems(output: Tensor, target: Tensor, *, scores: Scores = "logits") -> list[tuple[int, Tensor, Tensor]]:
    """For each label that some rows have and some have not: its number, its `[N]` scores and `[N]` int64 target."""
    same_rows(output, target)
    values = label_scores(output, scores)
    true = label_matrix(target, values.shape[1]).to(values.device)
    return [(k, values[:, k], true[:, k].long()) for k in range(true.shape[1]) if not ranking.single_class(true[:, k])]


def mean_over_labels(
    measure: Callable[[Tensor, Tensor], float], output: Tensor, target: Tensor, *, weighted: bool = False
) -> float:
    """The mean of a measure over the labels for which it is defined, or weighted by their rows; NaN without any."""
    found = [(measure(score, true), int(true.sum()) if weighted else 1) for _, score, true in problems(output, target)]
    return sum(n * value for value, n in found) / sum(n for _, n in found) if found else torch.nan


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


def of_counts(name: str, measure: OfCounts, why: Callable[[Tensor, Tensor], str], *, higher: bool = True) -> Metric:
    """A measure of `counts` as a metric on logits; the counts are added up over batches."""
    return Metric(name, higher, lambda output, target: measure(counts(output, target)), why, counts, measure)


def labeled(_: Tensor, target: Tensor) -> str:
    return why_undefined(target)


def share_metrics(name: str, share: Share, beta: float = 1.0) -> list[Metric]:
    """Its four averages, `"micro_f1"` and so on."""

    def rows(output: Tensor, target: Tensor) -> Tensor:
        return row_shares(*called_and_true(output, target), share, beta=beta)

    def left(output: Tensor, target: Tensor) -> str:
        found = rows(output, target)
        return no_rows(output, target) or ("0/0 in every row" if bool(found.isnan().all()) else "")

    averages: tuple[LabelAverage, ...] = ("micro", "macro", "weighted")
    found = [
        of_counts(f"{average}_{name}", partial(label_share, share=share, average=average, beta=beta), labeled)
        for average in averages
    ]
    return [*found, mean_metric(f"samples_{name}", True, rows, left)]


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits, a label being called at probability 1/2."""
    if kind != "multilabel":
        return []

    def ranks(name: str, measure: Callable[[Tensor, Tensor], float], *, weighted: bool = False) -> Metric:
        function = partial(mean_over_labels, measure, weighted=weighted)
        return Metric(name, True, function, lambda _, target: why_unranked(target))

    return [
        *share_metrics("f1", "f_beta"),
        *share_metrics("precision", "precision"),
        *share_metrics("recall", "recall"),
        *share_metrics("jaccard", "jaccard"),
        of_counts("subset_accuracy", subset_accuracy, no_rows),
        of_counts("label_accuracy", label_accuracy, no_rows),
        of_counts("hamming_loss", hamming_loss, no_rows, higher=False),
        ranks("macro_average_precision", ranking.average_precision),
        ranks("weighted_average_precision", ranking.average_precision, weighted=True),
        ranks("macro_auc", ranking.roc_auc),
        ranks("weighted_auc", ranking.roc_auc, weighted=True),
        mean_metric("log_loss", False, log_losses),
    ]


def forms(kind: Kind) -> list[Form]:
    """F-beta of label sets for any beta, in four averages."""
    if kind != "multilabel":
        return []

    def f_beta(name: str, beta: float) -> Metric:
        if not beta > 0:
            raise UsageError(f"In {name!r} beta is a number above 0; received {beta:g}.")
        found = share_metrics(name.partition("_")[2], "f_beta", beta)
        return next(metric for metric in found if metric.name == name)

    return [Form("micro_f2", r"(?:micro|macro|weighted|samples)_f(\d+(?:\.\d+)?)", f_beta)]

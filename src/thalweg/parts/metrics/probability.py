"""Measures of probabilities: log loss and Brier score, which are proper, and the calibration error (L41)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.errors import DataError
from thalweg.parts.metrics.forms import Kind, Metric, Scores, binary_scores, class_scores, labels, same_rows


def log_losses(output: Tensor, target: Tensor, *, kind: Kind, scores: Scores = "logits") -> Tensor:
    """`[N]` float64 loss of each row, `-log p(true class)`, in nats; infinite where the true class got probability 0.

    From logits it is exact at any size (log-sigmoid, log-softmax); scikit-learn clips probabilities at 1e-16 instead.
    """
    if kind == "binary":
        score = binary_scores(output, scores)
        same_rows(score, target)
        positive = labels(target, num_classes=2).to(score.device) == 1
        if scores == "logits":
            return -functional.logsigmoid(torch.where(positive, score, -score))
        return -torch.where(positive, score, 1 - score).log()
    values = class_scores(output, scores)
    same_rows(values, target)
    true = labels(target, num_classes=values.shape[1]).to(values.device)
    logs = values.log_softmax(1) if scores == "logits" else values.log()
    if bool(logs.isnan().any()):
        raise DataError(
            "A row has two infinite logits, so it has no probabilities. Look for an overflow in the network."
        )
    return -logs.gather(1, true[:, None])[:, 0]


def log_loss(output: Tensor, target: Tensor, *, kind: Kind, scores: Scores = "logits") -> float:
    """Mean of `-log p(true class)`, in nats; NaN without rows.

    >>> round(log_loss(torch.zeros(4, 10), torch.arange(4), kind="multiclass"), 4)  # ln 10
    2.3026
    """
    return float(log_losses(output, target, kind=kind, scores=scores).mean())


def to_probabilities(output: Tensor, kind: Kind, *, scores: Scores = "logits") -> Tensor:
    """`[N]` float64 probabilities of class 1 in a binary task, else `[N, C]`."""
    if kind == "binary":
        score = binary_scores(output, scores)
        return score.sigmoid() if scores == "logits" else score
    values = class_scores(output, scores)
    return values.softmax(1) if scores == "logits" else values


def brier_scores(output: Tensor, target: Tensor, *, kind: Kind, scores: Scores = "logits") -> Tensor:
    """`[N]` float64 squared error of each row: `(p - y)^2` in a binary task, else summed over the classes."""
    p = to_probabilities(output, kind, scores=scores)
    same_rows(p, target)
    true = labels(target, num_classes=2 if kind == "binary" else p.shape[1]).to(p.device)
    if kind == "binary":
        return (p - true).square()
    return (p - functional.one_hot(true, p.shape[1])).square().sum(1)


def brier_score(output: Tensor, target: Tensor, *, kind: Kind, scores: Scores = "logits") -> float:
    """Mean squared error of the probabilities: 0 to 1 in a binary task, 0 to 2 with several classes.

    Source: Brier 1950, halved in the binary task as is usual; scikit-learn's `brier_score_loss` agrees.

    >>> brier_score(torch.tensor([0.9, 0.2]), torch.tensor([1, 0]), kind="binary", scores="probabilities")
    0.025...
    """
    return float(brier_scores(output, target, kind=kind, scores=scores).mean())


@dataclass(frozen=True)
class Reliability:
    """Rows in bins of about equal size by predicted probability. All `[B]` float64 on the CPU.

    Args:
        count: rows of the bin.
        predicted: mean predicted probability.
        observed: share of rows in which the predicted event happened.
        variance: variance of `event - probability`, at least what the probabilities themselves imply, `p(1-p)`.
    """

    count: Tensor
    predicted: Tensor
    observed: Tensor
    variance: Tensor


def reliability(
    output: Tensor, target: Tensor, *, kind: Kind, scores: Scores = "logits", bins: int = 15
) -> Reliability:
    """How often what was predicted with probability p happens: of class 1 in a binary task, else of the chosen class.

    Bins hold about equal numbers of rows, because bins of equal width are nearly empty where networks are sure (Nguyen
    and O'Connor 2015). Rows of one probability are never parted, so that no bin depends on the order of the rows.
    """
    p = to_probabilities(output, kind, scores=scores)
    same_rows(p, target)
    true = labels(target, num_classes=2 if kind == "binary" else p.shape[1]).to(p.device)
    confidence, predicted = (p, torch.ones_like(true)) if kind == "binary" else p.max(1)
    event = (predicted == true).double()
    bins = max(1, min(bins, len(p)))
    cuts = torch.arange(1, bins, device=p.device) * len(p) // bins
    edges: Tensor = torch.unique(confidence.sort().values[cuts])
    index = torch.searchsorted(edges, confidence, right=True)

    def mean(values: Tensor) -> Tensor:
        return torch.bincount(index, values, minlength=len(edges) + 1)[filled] / count[filled]

    count = torch.bincount(index, minlength=len(edges) + 1).double()
    filled = count > 0
    gap = event - confidence
    variance = torch.maximum(mean(gap.square()) - mean(gap).square(), mean(confidence * (1 - confidence)))
    return Reliability(*(t.cpu() for t in (count[filled], mean(confidence), mean(event), variance)))


def calibration_error(
    output: Tensor, target: Tensor, *, kind: Kind, scores: Scores = "logits", bins: int = 15
) -> float:
    """Expected calibration error over equal-mass bins: `sum_b n_b/n |observed_b - predicted_b|`.

    It is biased upward: noise alone gives about `sqrt(bins / n) / 3` to a perfectly calibrated network.
    Source: Naeini, Cooper and Hauskrecht 2015.
    """
    table = reliability(output, target, kind=kind, scores=scores, bins=bins)
    return float((table.count * (table.observed - table.predicted).abs()).sum() / table.count.sum())


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits."""
    if kind not in ("binary", "multiclass"):
        return []

    def why(_: Tensor, target: Tensor) -> str:
        return "" if len(target) else "there are no rows"

    return [
        Metric("log_loss", False, lambda output, target: log_loss(output, target, kind=kind), why),
        Metric("brier", False, lambda output, target: brier_score(output, target, kind=kind), why),
    ]

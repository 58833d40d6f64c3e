"""Measures of probabilities that are proper: log loss, perplexity, and the Brier score (L41)."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.errors import DataError
from thalweg.parts.metrics.forms import (
    Kind,
    Metric,
    Scores,
    binary_scores,
    class_scores,
    labels,
    mean_metric,
    mean_of,
    same_rows,
)


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


def log_loss(
    output: Tensor, target: Tensor, *, kind: Kind, scores: Scores = "logits", weight: Tensor | None = None
) -> float:
    """Log loss (cross-entropy): mean of `-log p(true class)`, in nats; NaN without rows.

    Args:
        output: binary `[N]`, `[N, 1]` or `[N, 2]`; multi-class `[N, C]`.
        target: `[N]` class indices.
        kind: `"binary"` or `"multiclass"`.
        scores: what the output holds.
        weight: `[N]` of at least 0; None counts each row once.

    Raises:
        DataError: for NaN, what is no probability, labels out of range.

    >>> round(log_loss(torch.zeros(4, 10), torch.arange(4), kind="multiclass"), 4)  # ln 10
    2.3026

    Source: Good 1952, "Rational decisions"; L41. As scikit-learn's `log_loss` of the probabilities, which clips them at
    1e-16; from logits it is exact at any size, and infinite where the true class got probability 0.
    """
    return mean_of(log_losses(output, target, kind=kind, scores=scores), weight)


def perplexity(
    output: Tensor,
    target: Tensor,
    *,
    kind: Kind = "multiclass",
    scores: Scores = "logits",
    weight: Tensor | None = None,
) -> float:
    """`exp(log loss)`: among how many equally likely classes a row is still undecided; C for a guess.

    Args:
        output: as in `log_loss`.
        target: `[N]` class indices.
        kind: `"binary"` or `"multiclass"`.
        scores: what the output holds.
        weight: `[N]` of at least 0; None counts each row once.

    >>> round(perplexity(torch.zeros(4, 10), torch.arange(4)), 3)
    10.0

    Source: Jelinek et al. 1977; L41. The mean is over all rows, never over the perplexities of batches.
    """
    loss = log_loss(output, target, kind=kind, scores=scores, weight=weight)
    return math.exp(loss) if not loss > 700 else math.inf


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


def brier_score(
    output: Tensor, target: Tensor, *, kind: Kind, scores: Scores = "logits", weight: Tensor | None = None
) -> float:
    """Brier score, the mean squared error of the probabilities: 0 to 1 in a binary task, 0 to 2 with several classes.

    `1/N Σ (p_n - y_n)²`, with several classes `1/N Σ_n Σ_k (p_nk - [y_n = k])²`.

    Args:
        output: as in `log_loss`.
        target: `[N]` class indices.
        kind: `"binary"` or `"multiclass"`.
        scores: what the output holds.
        weight: `[N]` of at least 0; None counts each row once.

    >>> brier_score(torch.tensor([0.9, 0.2]), torch.tensor([1, 0]), kind="binary", scores="probabilities")
    0.025...

    Source: Brier 1950, halved in the binary task as is usual; L41. scikit-learn's `brier_score_loss` agrees.
    """
    return mean_of(brier_scores(output, target, kind=kind, scores=scores), weight)


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits."""
    if kind not in ("binary", "multiclass"):
        return []
    return [
        mean_metric("log_loss", False, partial(log_losses, kind=kind)),
        mean_metric("brier", False, partial(brier_scores, kind=kind)),
    ]

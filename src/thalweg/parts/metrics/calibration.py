"""Calibration: how often what was predicted with probability p happens; the reliability curve and its errors (L41)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.special import erf

from thalweg.errors import UsageError
from thalweg.parts.metrics.forms import Kind, Metric, Scores, check_word, labels, no_rows, row_weights, same_rows
from thalweg.parts.metrics.probability import to_probabilities

Binning = Literal["mass", "width"]
Norm = Literal["l1", "l2", "max"]
BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Rows in bins by predicted probability, the empty bins left out. All `[B]` float64 on the CPU.

    Args:
        count: rows of the bin, or their weight.
        predicted: mean predicted probability.
        observed: share of rows in which the predicted event happened.
        variance: variance of `event - probability`, at least what the probabilities themselves imply, `p(1-p)`.
    """

    count: Tensor
    predicted: Tensor
    observed: Tensor
    variance: Tensor


def confidence_and_event(output: Tensor, target: Tensor, kind: Kind, scores: Scores) -> tuple[Tensor, Tensor]:
    """`[N]` float64 each: the probability of class 1 (of the chosen class, with several), and whether it happened."""
    p = to_probabilities(output, kind, scores=scores)
    same_rows(p, target)
    true = labels(target, num_classes=2 if kind == "binary" else p.shape[1]).to(p.device)
    confidence, predicted = (p, torch.ones_like(true)) if kind == "binary" else p.max(1)
    return confidence, (predicted == true).double()


def reliability(
    output: Tensor,
    target: Tensor,
    *,
    kind: Kind,
    scores: Scores = "logits",
    bins: int = BINS,
    binning: Binning = "mass",
    weight: Tensor | None = None,
) -> Reliability:
    """The reliability curve: how often what was predicted with probability p happens.

    Of class 1 in a binary task, else of the chosen class. Rows of one probability are never parted, so that no bin
    depends on the order of the rows.

    Args:
        output: binary `[N]`, `[N, 1]` or `[N, 2]`; multi-class `[N, C]`.
        target: `[N]` class indices.
        kind: `"binary"` or `"multiclass"`.
        scores: what the output holds.
        bins: their number, at least 1.
        binning: `"mass"`, about equally many rows in each, because bins of equal width are nearly empty where networks
            are sure (Nguyen and O'Connor 2015); `"width"`, `(i/bins, (i+1)/bins]`, 0 in the first.
        weight: `[N]` of at least 0; None counts each row once. Bins of equal mass have equal numbers of rows.

    >>> table = reliability(torch.tensor([0.1, 0.3, 0.8, 0.9]), torch.tensor([0, 1, 1, 1]), kind="binary",
    ...                     scores="probabilities", bins=2)
    >>> table.predicted.tolist(), table.observed.tolist()
    ([0.2000..., 0.84999...], [0.5, 1.0])

    Source: DeGroot and Fienberg 1983; lecture row L41. `"width"` is scikit-learn's `calibration_curve("uniform")`; its
    quantile bins interpolate their edges and may part equal probabilities.
    """
    confidence, event = confidence_and_event(output, target, kind, scores)
    check_word("binning", binning, Binning)
    if bins < 1:
        raise UsageError(f"bins is at least 1; received {bins}.")
    if binning == "width":
        edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=confidence.device)[1:-1]
        index = torch.searchsorted(edges, confidence)
    else:
        bins = max(1, min(bins, len(confidence)))
        cuts = torch.arange(1, bins, device=confidence.device) * len(confidence) // bins
        edges = torch.unique(confidence.sort().values[cuts])
        index = torch.searchsorted(edges, confidence, right=True)
    shares = row_weights(weight, confidence)
    gap = event - confidence
    parts = [shares, shares * confidence, shares * event, shares * gap.square(), shares * confidence * (1 - confidence)]
    return from_sums(torch.stack([torch.bincount(index, part, minlength=len(edges) + 1) for part in parts]))


def from_sums(sums: Tensor) -> Reliability:
    """The table of `[5, B]` sums of the rows of each bin: weight, p, event, (event - p)², p(1 - p)."""
    sums = sums[:, sums[0] > 0].cpu()
    count = sums[0]
    predicted, observed, square, implied = sums[1:] / count
    variance = torch.maximum(square - (observed - predicted).square(), implied)
    return Reliability(count, predicted, observed, variance)


def error_of(table: Reliability, *, norm: Norm = "l1", debiased: bool = False) -> float:
    """The calibration error of a reliability curve, as in `calibration_error`."""
    check_word("norm", norm, Norm)
    if not len(table.count):
        return torch.nan
    share = table.count / table.count.sum()
    gap = (table.observed - table.predicted).abs()
    if norm == "max":
        if debiased:
            raise UsageError('norm="max" has no debiased form. Take norm="l1" or "l2".')
        return float(gap.max())
    if norm == "l2":
        noise = table.observed * (1 - table.observed) / (table.count - 1).clamp_min(1) if debiased else 0.0
        return float((share * (gap.square() - noise)).sum().clamp_min(0).sqrt())
    value = (share * gap).sum()
    if debiased:
        spread = (table.observed * (1 - table.observed) / table.count).sqrt()
        value = 2 * value - (share * mean_absolute(gap, spread)).sum()
    return float(value.clamp_min(0))


def mean_absolute(mean: Tensor, spread: Tensor) -> Tensor:
    """The mean of |X| for a normal X, `σ √(2/π) exp(-μ²/2σ²) + μ erf(μ / σ√2)`; |μ| where σ is 0."""
    safe = spread.where(spread > 0, 1.0)
    folded = safe * (2 / torch.pi) ** 0.5 * (-(mean / safe).square() / 2).exp() + mean * erf(mean / safe / 2**0.5)
    return torch.where(spread > 0, folded, mean.abs())


def calibration_error(
    output: Tensor,
    target: Tensor,
    *,
    kind: Kind,
    scores: Scores = "logits",
    bins: int = BINS,
    binning: Binning = "mass",
    norm: Norm = "l1",
    debiased: bool = False,
    weight: Tensor | None = None,
) -> float:
    """Expected calibration error (ECE): `Σ_b n_b/n |observed_b - predicted_b|` over bins of the probability.

    It is biased upward: noise alone gives about `√(bins / n) / 3` to a perfectly calibrated network.

    Args:
        output: binary `[N]`, `[N, 1]` or `[N, 2]`; multi-class `[N, C]`, of which the chosen class is judged.
        target: `[N]` class indices.
        kind: `"binary"` or `"multiclass"`.
        scores: what the output holds.
        bins: their number.
        binning: `"mass"`, bins of about equal numbers of rows, or `"width"`, of equal width.
        norm: `"l1"`; `"l2"`, the root of the mean squared gap; `"max"`, the largest gap.
        debiased: without the expected part of noise, at least 0. For `"l2"` `o_b (1 - o_b) / (n_b - 1)` is taken off
            each squared gap; for `"l1"` what noise of variance `o_b (1 - o_b) / n_b` would add to the gaps as they are,
            which leaves some six tenths of the noise of a perfectly calibrated network.
        weight: `[N]` of at least 0; None counts each row once.

    Raises:
        UsageError: for `debiased` with `"max"`.

    >>> p, happened = torch.tensor([0.2] * 5 + [0.9] * 10), torch.tensor([1] + [0] * 4 + [1] * 8 + [0] * 2)
    >>> round(calibration_error(p, happened, kind="binary", scores="probabilities", binning="width"), 4)
    0.0667

    Source: Naeini, Cooper and Hauskrecht 2015; debiased: Kumar, Liang and Ma 2019, "Verified uncertainty calibration".
    torchmetrics has bins of equal width, undebiased, and decides batch by batch whether it was given logits.
    """
    table = reliability(output, target, kind=kind, scores=scores, bins=bins, binning=binning, weight=weight)
    return error_of(table, norm=norm, debiased=debiased)


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits."""
    if kind not in ("binary", "multiclass"):
        return []

    def value(output: Tensor, target: Tensor) -> float:
        return calibration_error(output, target, kind=kind)

    return [Metric("calibration_error", False, value, no_rows)]

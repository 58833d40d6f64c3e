"""Curves to draw: ROC, precision-recall, reliability, predicted against true, each thinned to a few hundred points."""

import heapq
from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.evaluate.intervals import wilson
from thalweg.evaluate.result import Curve
from thalweg.parts.metrics.calibration import Reliability
from thalweg.parts.metrics.ranking import precision_recall_curve, roc_curve

POINTS = 200
MAX_CLASSES = 20  # of more classes no reader tells the curves apart
MAX_TARGETS = 8


def corners(x: Tensor, y: Tensor, *, points: int = POINTS) -> Tensor:
    """Sorted indices of at most `points` points, such that the lines between them stay near the whole curve.

    Both ends, then again and again the point farthest from the line drawn so far (Ramer 1972; Douglas and Peucker
    1973), until all are drawn exactly or `points` are kept.
    """
    kept = [0, len(x) - 1]
    queue: list[tuple[float, int, int, int]] = []

    def split(start: int, end: int) -> None:
        if end - start < 2:
            return
        dx, dy = x[end] - x[start], y[end] - y[start]
        px, py = x[start + 1 : end] - x[start], y[start + 1 : end] - y[start]
        distance = (px * dy - py * dx).abs() / torch.hypot(dx, dy)  # the points of these curves are distinct
        farthest = int(distance.argmax())
        if float(distance[farthest]) > 1e-12:
            heapq.heappush(queue, (-float(distance[farthest]), start, start + 1 + farthest, end))

    split(*kept)
    while queue and len(kept) < points:
        _, start, middle, end = heapq.heappop(queue)
        kept.append(middle)
        split(start, middle)
        split(middle, end)
    return torch.tensor(sorted(set(kept)))


def thinned(name: str, x: Tensor, y: Tensor, x_label: str, y_label: str, label: str) -> Curve:
    keep = corners(x, y)
    return Curve(name, tuple(x[keep].tolist()), tuple(y[keep].tolist()), x_label, y_label, label)


def rank_curves(scores: Tensor, positive: Tensor, label: str = "") -> list[Curve]:
    """The ROC and the precision-recall curve of one score; the rows must hold both classes."""
    false_rate, true_rate, _ = roc_curve(scores, positive)
    recall, precision, _ = precision_recall_curve(scores, positive)
    return [
        thinned("roc", false_rate, true_rate, "false positive rate", "true positive rate", label),
        thinned("precision_recall", recall, precision, "recall", "precision", label),
    ]


def reliability_curve(table: Reliability) -> Curve:
    """Observed against predicted frequency, with Wilson's interval of each bin."""
    observed = zip((table.count * table.observed).tolist(), table.count.tolist(), strict=True)
    limits = [wilson(round(events), count) for events, count in observed]
    return Curve(
        "reliability",
        tuple(table.predicted.tolist()),
        tuple(table.observed.tolist()),
        "predicted probability",
        "observed frequency",
        low=tuple(low for low, _ in limits),
        high=tuple(high for _, high in limits),
    )


def predicted_curves(predicted: Tensor, true: Tensor, *, names: Sequence[str], seed: int) -> list[Curve]:
    """Predicted against true value of a sample of rows, one curve for each of the first targets (`[N, T]`)."""
    rows = torch.randperm(len(true), generator=torch.Generator().manual_seed(seed))[:POINTS].sort().values
    several = true.shape[1] > 1
    return [
        Curve(
            "predicted",
            tuple(true[rows, t].tolist()),
            tuple(predicted[rows, t].tolist()),
            "true value",
            "predicted value",
            names[t] if several else "",
        )
        for t in range(min(true.shape[1], MAX_TARGETS))
    ]

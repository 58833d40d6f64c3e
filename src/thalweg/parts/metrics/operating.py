"""What a ranking reaches at a limit: TPR at an FPR, precision at a recall, the area up to an FPR (L43)."""

from collections.abc import Callable

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.parts.metrics.forms import Form, Kind, Metric, binary_scores
from thalweg.parts.metrics.ranking import Counts, cumulative_counts, one_class, ranked, roc_points


def tpr_at_fpr(
    scores: Tensor, target: Tensor, *, fpr: float, interpolate: bool = False, weight: Tensor | None = None
) -> float:
    """True-positive rate at a false-positive rate: the largest that a threshold reaches with `FPR ≤ fpr`.

    `max {TPR(t) : FPR(t) ≤ fpr}`: what can really be reached. `interpolate=True` gives the height of the ROC curve at
    `fpr` instead, on the line between its two points, which is reached by chance decisions between two thresholds.

    Args:
        scores: `[N]` raw scores; higher means class 1.
        target: `[N]` of 0 and 1.
        fpr: the limit, from 0 to 1.
        interpolate: whether between the points of the curve.
        weight: `[N]` of at least 0; None counts each row once.

    Raises:
        UsageError: for a limit outside 0 to 1.

    >>> scores, target = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]), torch.tensor([0, 1, 0, 1, 1])
    >>> tpr_at_fpr(scores, target, fpr=0.1), tpr_at_fpr(scores, target, fpr=0.5)
    (0.6666666666666666, 1.0)

    Source: Fawcett 2006; L43. As torchmetrics' sensitivity at a specificity of `1 - fpr`, on its exact curve. NaN where
    all rows are of one class.
    """
    check_share("fpr", fpr)
    return tpr_of(cumulative_counts(scores, target, weight=weight), fpr, interpolate=interpolate)


def tpr_of(counts: Counts, fpr: float, *, interpolate: bool = False) -> float:
    """`tpr_at_fpr` of counts; NaN where a class has no row."""
    if one_class(counts):
        return torch.nan
    false_rate, true_rate, _ = roc_points(counts)
    last = int(torch.searchsorted(false_rate, fpr, right=True)) - 1
    reached = float(true_rate[last])
    if not interpolate or last + 1 == len(false_rate):
        return reached
    step = (fpr - float(false_rate[last])) / float(false_rate[last + 1] - false_rate[last])
    return reached + step * float(true_rate[last + 1] - true_rate[last])


def precision_at_recall(scores: Tensor, target: Tensor, *, recall: float, weight: Tensor | None = None) -> float:
    """Precision at a recall: the largest that a threshold reaches with at least that recall.

    `max {P(t) : R(t) ≥ recall}`, over the thresholds at the distinct scores; nothing is interpolated.

    Args:
        scores: `[N]` raw scores; higher means class 1.
        target: `[N]` of 0 and 1.
        recall: the least recall, from 0 to 1.
        weight: `[N]` of at least 0; None counts each row once.

    Raises:
        UsageError: for a recall outside 0 to 1.

    >>> precision_at_recall(torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0, 1, 0, 1]), recall=0.6)
    0.666...

    Source: Davis and Goadrich 2006; L43. As torchmetrics' precision at fixed recall, on its exact curve, but for the
    point of precision 1 at recall 0, which none measured. NaN where all rows are of one class.
    """
    check_share("recall", recall)
    return precision_of(cumulative_counts(scores, target, weight=weight), recall)


def precision_of(counts: Counts, recall: float) -> float:
    """`precision_at_recall` of counts; NaN where a class has no row."""
    if one_class(counts):
        return torch.nan
    _, true, false = counts
    precision = true.double() / (true + false).double()
    return float(precision[true.double() / true[-1].double() >= recall].max())


def partial_roc_auc(scores: Tensor, target: Tensor, *, max_fpr: float, weight: Tensor | None = None) -> float:
    """Area under the ROC curve up to a false-positive rate, scaled so that chance is 1/2 and perfection 1.

    `1/2 (1 + (A - f²/2) / (f - f²/2))`, where A is the area from 0 to `f = max_fpr` under straight lines between the
    points.

    Args:
        scores: `[N]` raw scores; higher means class 1.
        target: `[N]` of 0 and 1.
        max_fpr: above 0, at most 1, where it is `roc_auc`.
        weight: `[N]` of at least 0; None counts each row once.

    Raises:
        UsageError: for a limit out of range.

    >>> partial_roc_auc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]), max_fpr=0.5)
    0.666...

    Source: McClish 1989; L43. As scikit-learn's `roc_auc_score(max_fpr=)`.
    """
    check_share("max_fpr", max_fpr)
    if not max_fpr:
        raise UsageError("max_fpr is above 0, since there is no area below it; received 0.")
    counts = cumulative_counts(scores, target, weight=weight)
    if one_class(counts):
        return torch.nan
    false_rate, true_rate, _ = roc_points(counts)
    inside = false_rate <= max_fpr
    x = torch.cat([false_rate[inside], false_rate.new_tensor([max_fpr])])
    y = torch.cat([true_rate[inside], true_rate.new_tensor([tpr_of(counts, max_fpr, interpolate=True)])])
    chance = max_fpr**2 / 2
    return 0.5 * (1 + (float(torch.trapezoid(y, x)) - chance) / (max_fpr - chance))


def check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{name} lies from 0 to 1; received {value}.")


def forms(kind: Kind) -> list[Form]:
    """These measures at any limit, by names that hold it."""
    if kind != "binary":
        return []

    def of(measure: Callable[[Tensor, Tensor, float], float]) -> Callable[[str, float], Metric]:
        def make(name: str, limit: float) -> Metric:
            check_share(f"The number in {name!r}", limit)
            return Metric(name, True, lambda output, target: measure(binary_scores(output), target, limit), ranked)

        return make

    number = r"(\d*\.?\d+)"
    return [
        Form("tpr_at_fpr_0.01", f"tpr_at_fpr_{number}", of(lambda s, y, limit: tpr_at_fpr(s, y, fpr=limit))),
        Form(
            "precision_at_recall_0.9",
            f"precision_at_recall_{number}",
            of(lambda s, y, limit: precision_at_recall(s, y, recall=limit)),
        ),
        Form("partial_auc_0.1", f"partial_auc_{number}", of(lambda s, y, limit: partial_roc_auc(s, y, max_fpr=limit))),
    ]

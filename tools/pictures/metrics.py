"""Metrics on real predictions: half of scikit-learn's breast-cancer rows, and of its digits, by a plain linear model."""

import math
from functools import cache

import torch
from pictures.plot import bars, curves, heat, points, row
from sklearn import datasets
from torch import Tensor

from thalweg.parts import metrics
from thalweg.parts.metrics.several_classes import one_vs_rest

Rows = tuple[Tensor, Tensor]


def draw() -> dict[str, str]:
    """The pictures of the pages."""
    return {
        "ranking": roc_and_precision(),
        "operating": at_limits(),
        "calibration": reliability(),
        "confusion": by_threshold(),
        "confusion_matrix": matrix(),
        "several_classes": one_against_rest(),
        "regression": quantile_losses(),
    }


def fit(x: Tensor, y: Tensor, decay: float) -> Tensor:
    """Logits of all rows by a softmax regression on the even ones, 300 steps of all rows."""
    x = torch.cat([(x - x[::2].mean(0)) / x[::2].std(0).clamp_min(1e-6), torch.ones(len(x), 1).double()], 1)
    weights = torch.zeros(x.shape[1], int(y.max()) + 1, dtype=torch.float64)
    true = torch.nn.functional.one_hot(y).double()
    for _ in range(300):
        gradient = x[::2].T @ ((x[::2] @ weights).softmax(1) - true[::2]) / len(x[::2])
        weights -= 0.5 * (gradient + decay * weights)
    return x @ weights


@cache
def binary() -> Rows:
    """Logits and labels of the odd rows, which the model has not seen, from the first three columns alone."""
    bunch = datasets.load_breast_cancer()
    x, y = torch.tensor(bunch.data[:, [1, 4, 8]]), torch.tensor(1 - bunch.target)
    logits = fit(x, y, 1e-3)[1::2]
    return logits[:, 1] - logits[:, 0], y[1::2]


@cache
def digits() -> Rows:
    bunch = datasets.load_digits()
    x, y = torch.tensor(bunch.data), torch.tensor(bunch.target)
    return fit(x, y, 3e-2)[1::2], y[1::2]


def roc_and_precision() -> str:
    logits, true = binary()
    false_rate, true_rate, _ = metrics.roc_curve(logits, true)
    recall, precision, _ = metrics.precision_recall_curve(logits, true)
    area, average = metrics.roc_auc(logits, true), metrics.average_precision(logits, true)
    share = float(true.double().mean())
    left = points(
        [], f"ROC curve, area {area:.3f}", "false-positive rate", "true-positive rate",
        lines=[("rows", false_rate, true_rate)], x_range=(0, 1), y_range=(0, 1), diagonal=True,
    )  # fmt: skip
    right = points(
        [], f"precision-recall curve, average precision {average:.3f}", "recall", "precision",
        lines=[("rows", recall, precision), ("chance", [0, 1], [share, share])], x_range=(0, 1), y_range=(0, 1),
    )  # fmt: skip
    return row(left, right)


def at_limits() -> str:
    logits, true = (tensor[::6] for tensor in binary())  # few rows, so that the steps are seen
    limits = torch.linspace(0, 0.3, 121).tolist()
    reached = [metrics.tpr_at_fpr(logits, true, fpr=limit) for limit in limits]
    line = [metrics.tpr_at_fpr(logits, true, fpr=limit, interpolate=True) for limit in limits]
    left = curves(
        [("reached", limits, reached), ("interpolated", limits, line)], "TPR at an FPR", "false-positive rate", "TPR"
    )
    recalls = torch.linspace(0.3, 1, 141).tolist()
    best = [metrics.precision_at_recall(logits, true, recall=recall) for recall in recalls]
    return row(left, curves([("precision", recalls, best)], "precision at a recall", "recall", "precision"))


def reliability() -> str:
    logits, true = binary()
    panels = []
    for scale in (1.0, 4.0):
        found = metrics.reliability(scale * logits, true, kind="binary", bins=8)
        error = metrics.calibration_error(scale * logits, true, kind="binary", bins=8)
        title = f"{'as fitted' if scale == 1 else 'logits times 4'}: calibration error {error:.3f}"
        panels.append(
            points(
                [("bins of equal mass", found.predicted, found.observed)],
                title,
                "predicted probability",
                "observed frequency",
                x_range=(0, 1),
                y_range=(0, 1),
                diagonal=True,
            )  # fmt: skip
        )
    return row(*panels)


def by_threshold() -> str:
    logits, true = binary()
    cuts = torch.linspace(0.02, 0.98, 97).tolist()
    matrices = [metrics.confusion_matrix((logits.sigmoid() > c).long(), true, num_classes=2) for c in cuts]
    betas = [(f"F{beta:g}", cuts, [metrics.f_beta(m, beta=beta, positive=1) for m in matrices]) for beta in (0.5, 1, 2)]
    rates = [
        ("precision", cuts, [metrics.precision(m, positive=1) for m in matrices]),
        ("recall", cuts, [metrics.recall(m, positive=1) for m in matrices]),
        ("specificity", cuts, [metrics.specificity(m, positive=1) for m in matrices]),
        ("MCC", cuts, [metrics.mcc(m) for m in matrices]),
    ]
    return row(
        curves(betas, "F-beta of class 1", "threshold on the probability"),
        curves(rates, "what it is made of, and MCC", "threshold on the probability"),
    )


def matrix() -> str:
    logits, true = digits()
    found = metrics.confusion_matrix(logits.argmax(1), true, num_classes=10)
    wrong = found - torch.diag(found.diagonal())
    title = f"digits: wrong answers among {int(found.sum())}, accuracy {metrics.accuracy(found):.3f}"
    names = [str(k) for k in range(10)]
    return heat(names, [float(k) for k in range(10)], wrong.double(), title, "predicted digit", "rows, by true digit")


def one_against_rest() -> str:
    logits, true = digits()
    areas = [1 - metrics.roc_auc(score, one) for _, score, one in one_vs_rest(logits, true)]
    names = [f"{k} against the rest" for k in range(10)]
    title = f"digits: 1 - AUC; mean AUC {metrics.macro_roc_auc(logits, true):.4f}"
    return bars(names, areas, title, texts=[f"{value:.4f}" for value in areas])


def quantile_losses() -> str:
    error = torch.linspace(-3, 3, 121)
    zero = torch.zeros(1)
    losses = [
        (f"quantile {q:g}", error, [metrics.quantile_loss(zero, e[None], quantile=q) for e in error])
        for q in (0.1, 0.5, 0.9)
    ]
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(2000, generator=generator)
    levels = torch.linspace(-2.5, 2.5, 61)
    means = [
        (f"quantile {q:g}", levels, [metrics.quantile_loss(level.expand(2000), target, quantile=q) for level in levels])
        for q in (0.1, 0.5, 0.9)
    ]
    assert not any(math.isnan(value) for _, _, values in means for value in values)
    return row(
        curves(losses, "quantile loss of one row", "target - prediction"),
        curves(means, "mean over 2,000 normal targets", "one prediction for all"),
    )

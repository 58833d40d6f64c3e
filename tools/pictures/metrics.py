"""Metrics on real predictions: a linear model's of half of scikit-learn's breast-cancer rows, and of its digits."""

import math
from functools import cache

import torch
from pictures.plot import bars, curves, heat, points, row
from sklearn import datasets
from torch import Tensor

from thalweg.parts import metrics
from thalweg.parts.metrics import multilabel
from thalweg.parts.metrics.several_classes import one_vs_rest

Rows = tuple[Tensor, Tensor]
AVERAGES = ("micro", "macro", "weighted")


def draw() -> dict[str, str]:
    """The pictures of the pages."""
    ranking, losses, named = roc_and_precision(), of_probabilities(), by_name()
    return {
        "by_name": named,
        "forms": named,
        "values": guaranteed(),
        "ranking": ranking,
        "exact_ranking": ranking,
        "probability": losses,
        "losses": losses,
        "agreement": agreement(),
        "top_k": top_k(),
        "multilabel": label_sets(),
        "operating": at_limits(),
        "calibration": reliability(),
        "confusion": by_threshold(),
        "confusion_matrix": matrix(),
        "several_classes": one_against_rest(),
        "regression": quantile_losses(),
    }


def fit(x: Tensor, y: Tensor, decay: float, steps: int = 300) -> Tensor:
    """Logits of all rows by a softmax regression on the even ones, in steps of all of them."""
    x = torch.cat([(x - x[::2].mean(0)) / x[::2].std(0).clamp_min(1e-6), torch.ones(len(x), 1).double()], 1)
    weights = torch.zeros(x.shape[1], int(y.max()) + 1, dtype=torch.float64)
    true = torch.nn.functional.one_hot(y).double()
    for _ in range(steps):
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
    logits, true = binary()
    logits = (2 * logits).round()  # ties: without them the curve has no slopes to interpolate on
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
            )
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


def of_probabilities() -> str:
    p = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
    true = torch.tensor([1])
    named = {"kind": "binary", "scores": "probabilities"}
    losses = [
        ("log loss", p, [metrics.log_loss(value[None], true, **named) for value in p]),
        ("Brier score", p, [metrics.brier_score(value[None], true, **named) for value in p]),
        ("perplexity / 10", p, [metrics.perplexity(value[None], true, **named) / 10 for value in p]),
    ]
    return curves(losses, "one row", "probability of its true class", y_range=(0, 5))


def agreement() -> str:
    """Nine of ten rows of either class right, while class 1 becomes rare."""
    shares = torch.linspace(0.005, 0.5, 100, dtype=torch.float64)
    matrices = [torch.tensor([[0.9, 0.1], [0.1, 0.9]]) * torch.stack([1 - s, s])[:, None] for s in shares]
    found = [
        ("accuracy", shares, [metrics.accuracy(m) for m in matrices]),
        ("F1", shares, [metrics.f1(m, positive=1) for m in matrices]),
        ("MCC", shares, [metrics.mcc(m) for m in matrices]),
        ("kappa", shares, [metrics.kappa(m) for m in matrices]),
    ]
    return curves(found, "recall and specificity of 0.9", "share of class 1", y_range=(0, 1))


def top_k() -> str:
    logits, true = digits()
    ks = range(1, 10)
    wrong = [("wrong", list(ks), [1 - metrics.top_k_accuracy(logits, true, k=k) for k in ks])]
    return curves(wrong, "digits: share whose digit is not among the first k", "k")


def label_sets() -> str:
    """A made-up set: labels of 50 to 2 % of rows, found as well as each other."""
    generator = torch.Generator().manual_seed(0)
    true = torch.rand(4000, 5, generator=generator) < torch.tensor([0.5, 0.3, 0.15, 0.05, 0.02])
    logits = torch.randn(4000, 5, generator=generator) + 2.5 * true - 2
    cuts = torch.linspace(-3, 2, 51)
    states = [multilabel.counts(logits - cut, true) for cut in cuts]
    found = [(f"{a} F1", cuts, [metrics.label_share(s, "f_beta", average=a) for s in states]) for a in AVERAGES]
    found.append(("samples F1", cuts, [metrics.sample_share(logits - cut, true, "f_beta") for cut in cuts]))
    found.append(("Hamming loss", cuts, [metrics.hamming_loss(s) for s in states]))
    return curves(found, "five labels, of 50 to 2 % of rows", "threshold on the logit")


def by_name() -> str:
    """What metrics by name say of a network along its training."""
    bunch = datasets.load_digits()
    x, y = torch.tensor(bunch.data), torch.tensor(bunch.target)
    steps = [1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120]
    logits = [fit(x, y, 3e-2, k)[1::2] for k in steps]
    names = ("accuracy", "macro_f1", "mcc", "auc", "top_3_accuracy", "brier")
    series = [(name, steps, [metrics.metric(name, "multiclass")(z, y[1::2]) for z in logits]) for name in names]
    return curves(series, "digits, rows that were not trained on", "step", x_scale="log", y_range=(0, 1))


def guaranteed() -> str:
    """The error of a streamed area: as guaranteed by its bins, and true."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(2, (20_000,), generator=generator)
    score = torch.randn(20_000, generator=generator) + target
    exact = metrics.roc_auc(score, target)
    bits = list(range(10, 21))
    found = [metrics.Ranking(bits=b).update(score, target).compute()["auc"] for b in bits]
    series = [
        ("guaranteed", bits, [value.error for value in found]),
        ("true", bits, [abs(value.value - exact) for value in found]),
    ]
    return curves(series, "error of the AUC of 20,000 streamed scores", "bits", y_scale="log")

"""What the confusion matrix answers by name: for the epoch loop, and for the streaming `Confusion`."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from thalweg.errors import UsageError
from thalweg.parts.metrics import agreement, confusion
from thalweg.parts.metrics.confusion import POSITIVE, confusion_of, why_undefined
from thalweg.parts.metrics.forms import Average, Form, Kind, Metric, mean_metric
from thalweg.parts.metrics.top_k import hits
from thalweg.parts.metrics.values import Value

OfMatrix = Callable[[Tensor], float]
AVERAGES: tuple[Average, ...] = ("macro", "micro", "weighted")


def of_all_classes() -> dict[str, OfMatrix]:
    """The measures that treat all classes alike."""
    return {
        "accuracy": confusion.accuracy,
        "balanced_accuracy": confusion.balanced_accuracy,
        "mcc": agreement.mcc,
        "kappa": agreement.kappa,
    }


def of_classes(positive: int | None) -> dict[str, OfMatrix]:
    """The measures of one class, or their means over classes."""
    return {
        "f1": partial(confusion.f1, positive=positive),
        "precision": partial(confusion.precision, positive=positive),
        "recall": partial(confusion.recall, positive=positive),
        "specificity": partial(confusion.specificity, positive=positive),
    }


def for_several() -> dict[str, OfMatrix]:
    """The further measures of a multi-class task: each mean over classes by its name, kappa of ordered classes."""
    found: dict[str, OfMatrix] = {
        "linear_kappa": partial(agreement.kappa, distance="linear"),
        "quadratic_kappa": partial(agreement.kappa, distance="quadratic"),
    }
    for average in AVERAGES:
        for name in ("f1", "precision", "recall", "specificity"):
            found[f"{average}_{name}"] = partial(getattr(confusion, name), average=average)
    return found


def values(matrix: Tensor) -> dict[str, Value]:
    """Every common measure of a confusion matrix; with two classes those of class 1, else means over classes.

    The support is what the measure divides by: the rows predicted to be of class 1, the rows of class 1.
    """
    positive = POSITIVE if len(matrix) == 2 else None
    total = float(matrix.sum())
    support = {}
    if positive is not None:
        rows, called = float(matrix[positive].sum()), float(matrix[:, positive].sum())
        hits = float(matrix[positive, positive])
        support = {"precision": called, "recall": rows, "f1": rows + called - hits, "specificity": total - rows}
    return {
        name: Value(measure(matrix), support.get(name, total), why_undefined(name, matrix, positive=positive))
        for name, measure in {**of_all_classes(), **of_classes(positive)}.items()
    }


def of_matrix(name: str, kind: Kind, measure: OfMatrix) -> Metric:
    """A measure of the confusion matrix as a metric on logits; the matrix is added up over batches."""
    positive = POSITIVE if kind == "binary" else None
    return Metric(
        name,
        True,
        lambda output, target: measure(confusion_of(output, target, kind)),
        lambda output, target: why_undefined(name, confusion_of(output, target, kind), positive=positive),
        lambda output, target: confusion_of(output, target, kind),
        measure,
    )


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits; a binary task's are those of class 1, at probability 1/2."""
    if kind not in ("binary", "multiclass"):
        return []
    found = {**of_all_classes(), **of_classes(POSITIVE if kind == "binary" else None)}
    if kind == "multiclass":
        found.update(for_several())
    return [of_matrix(name, kind, measure) for name, measure in found.items()]


def forms(kind: Kind) -> list[Form]:
    """F-beta for any beta, and top-k accuracy for any k."""

    def f_beta(name: str, beta: float) -> Metric:
        if not beta > 0:
            raise UsageError(f"In {name!r} beta is a number above 0; received {beta:g}.")
        if kind == "binary":
            return of_matrix(name, kind, partial(confusion.f_beta, beta=beta, positive=POSITIVE))
        average: Average = next((word for word in AVERAGES if name.startswith(word)), "macro")
        return of_matrix(name, kind, partial(confusion.f_beta, beta=beta, average=average))

    if kind == "binary":
        return [Form("f0.5", r"f(\d+(?:\.\d+)?)", f_beta)]
    if kind == "multiclass":
        return [
            Form("f0.5", r"(?:(?:macro|micro|weighted)_)?f(\d+(?:\.\d+)?)", f_beta),
            Form("top_5_accuracy", r"top_(\d+)_accuracy", top_k),
        ]
    return []


def top_k(name: str, k: float) -> Metric:
    return mean_metric(name, True, partial(hits, k=int(k)))

"""What rankings share: the forms of outputs and targets, and the means over classes or labels."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics.forms import Scores, check_word
from thalweg.parts.metrics.several_classes import log_odds
from thalweg.parts.metrics.values import Value

RankKind = Literal["binary", "multiclass", "multilabel"]
ONE_CLASS = "all rows are of one class, so there is nothing to rank"


def check_settings(kind: RankKind, num_classes: int, scores: Scores) -> None:
    """Raises `UsageError` for words or numbers of classes that there are not."""
    check_word("kind", kind, RankKind)
    check_word("scores", scores, Scores)
    fits = num_classes == 2 if kind == "binary" else num_classes >= (2 if kind == "multiclass" else 1)
    if not fits:
        raise UsageError(f"A {kind} task cannot have num_classes={num_classes}; of a binary task it is 2.")


def check_shapes(output: Tensor, target: Tensor, kind: RankKind, num_classes: int) -> None:
    """Raises `DataError` for shapes that do not fit the task."""
    if kind == "binary":
        fits = output.shape[1:] in ((), (1,), (2,)) and target.shape[1:] in ((), (1,))
    else:
        fits = output.shape[1:] == (num_classes,)
        fits = fits and target.shape[1:] in (((num_classes,),) if kind == "multilabel" else ((), (1,)))
    if fits and output.ndim and output.shape[:1] == target.shape[:1]:
        return
    wanted = "[N], [N, 1] or [N, 2]" if kind == "binary" else f"[N, {num_classes}]"
    targets = f"[N, {num_classes}]" if kind == "multilabel" else "[N]"
    raise DataError(
        f"A {kind} task needs outputs {wanted} for targets {targets}; received {list(output.shape)} and "
        f"{list(target.shape)}."
    )


def rank_forms(
    output: Tensor, target: Tensor, kind: RankKind, num_classes: int, scores: Scores
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Scores `[N]` or `[N, C]`; 0 or 1 in the same shape; where a label is wrong (None: nowhere). Waits for nothing."""
    if kind == "multiclass":
        label = target.reshape(-1, 1)
        positive = label == torch.arange(num_classes, device=label.device)
        return log_odds(output.double()) if scores == "logits" else output, positive, ~positive.any(1, keepdim=True)
    values = output if kind == "multilabel" else one_score(output, scores)
    label = target.reshape(values.shape)
    if label.dtype == torch.bool:
        return values, label, None
    held = label == 1 if label.is_floating_point() else label.clamp(0, 1)
    return values, held, held != label


def one_score(output: Tensor, scores: Scores) -> Tensor:
    """`[N]` scores of class 1 of outputs `[N]`, `[N, 1]` or `[N, 2]`: the margin of two logits, in float64."""
    if output.ndim == 1 or output.shape[1] == 1:
        return output.reshape(-1)
    return output[:, 1] if scores == "probabilities" else output[:, 1].double() - output[:, 0].double()


def averages(kind: RankKind, found: Sequence[tuple[Value, Value]]) -> dict[str, Value]:
    """`"auc"` and `"average_precision"` of a task; of several classes or labels their means, plain and weighted."""
    measures = dict(zip(("auc", "average_precision"), zip(*found, strict=True), strict=True))
    if kind == "binary":
        return {name: values[0] for name, values in measures.items()}
    plain = "macro_" if kind == "multilabel" else ""
    positives = [precision.support for _, precision in found]
    rows = {name: mean(values, [1.0] * len(found)) for name, values in measures.items()}
    weighted = {name: mean(values, positives) for name, values in measures.items()}
    return {plain + name: value for name, value in rows.items()} | {
        f"weighted_{name}": value for name, value in weighted.items()
    }


def mean(values: Sequence[Value], weights: Sequence[float]) -> Value:
    """The mean of those that are defined, and of their errors."""
    defined = [(value, weight) for value, weight in zip(values, weights, strict=True) if not math.isnan(value.value)]
    support = max(value.support for value in values)
    if not defined:
        return Value(math.nan, support, values[0].reason)
    total = sum(weight for _, weight in defined)
    value, error = (sum(w * getattr(v, name) for v, w in defined) / total for name in ("value", "error"))
    return Value(value, support, "", error)


def shortened(target: Tensor) -> Tensor:
    """Whole labels as int16, those out of its range at its ends, which no task has."""
    return target.clamp(-(2**15), 2**15 - 1).to(torch.int16)

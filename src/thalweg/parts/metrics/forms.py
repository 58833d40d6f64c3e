"""What every metric takes: outputs and targets in the few forms that networks give, checked, in float64."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from thalweg.errors import DataError, UsageError, did_you_mean
from thalweg.parts.metrics.values import Value

Kind = Literal["binary", "multiclass", "multilabel", "per_position", "regression", "own"]
Scores = Literal["logits", "probabilities"]
Average = Literal["macro", "micro", "weighted"]
DIVERGED = "The training has diverged or an input is NaN: lower the learning rate, or look at the inputs."
IGNORED = -100  # a position of a target that counts nowhere; torch's own default
SUM_TOLERANCE = 1e-2  # probabilities of half-precision networks sum to 1 only within about 0.004


@dataclass(frozen=True)
class Metric:
    """A metric on a network's outputs, as the epoch loop calls it: `metric(output, target)` is a float.

    Args:
        name: `"accuracy"`, or the name of the user's function.
        higher_is_better: which way it improves.
        function: `(output, target) -> float`; outputs are logits, or predictions in a regression. NaN where undefined.
        why_undefined: `(output, target) -> reason` for a NaN; empty where the value is defined.
        partial: `(output, target) -> state` of one batch, a small tensor that is added up over the batches; None where
            the metric needs all outputs at once. So the outputs of all rows never stand in memory together.
        merge: `state -> float` of the added states: what `function` gives on all rows.

    >>> from thalweg.parts.metrics import metric
    >>> found = metric("mae", "regression")
    >>> states = [found.partial(torch.tensor([y + 1.0]), torch.tensor([y])) for y in (1.0, 2.0)]
    >>> found.merge(states[0] + states[1])
    1.0

    Source: lecture rows L41 to L43.
    """

    name: str
    higher_is_better: bool
    function: Callable[[Tensor, Tensor], float]
    why_undefined: Callable[[Tensor, Tensor], str]
    partial: Callable[[Tensor, Tensor], Tensor] | None = None
    merge: Callable[[Tensor], float] | None = None

    def __call__(self, output: Tensor, target: Tensor) -> float:
        return float(self.function(output, target))

    def explain(self, output: Tensor, target: Tensor) -> Value:
        """The value with the number of rows, and the reason where it is NaN."""
        return Value(self(output, target), len(target), self.why_undefined(output, target))


@dataclass(frozen=True)
class Form:
    """Metrics whose name holds a number, such as `"f0.5"` and `"f2"`.

    Args:
        example: a name of this form, for messages.
        pattern: a regular expression for the whole name, whose last group is the number.
        make: `(name, number) -> Metric`; raises `UsageError` for a number out of range.
    """

    example: str
    pattern: str
    make: Callable[[str, float], Metric]


def exact(values: Tensor) -> Tensor:
    """The values in float64 without a graph, on their device (on the CPU where the device has no float64)."""
    values = values.detach()
    return (values.cpu() if values.device.type == "mps" else values).double()


def refuse_nan(values: Tensor, what: str, advice: str = DIVERGED) -> None:
    """Raises `DataError` where a value is NaN: it has no rank, and every comparison with it would be silently false."""
    if (count := int(values.isnan().sum())) > 0:  # synchronizes the device
        raise DataError(
            f"{what} has {count:,} NaN among {values.numel():,} values, so nothing can be measured. {advice}"
        )


def same_rows(output: Tensor, target: Tensor) -> None:
    """Raises `DataError` where the rows of output and target, their first dimension, differ in number."""
    if not output.ndim or output.shape[:1] != target.shape[:1]:
        raise DataError(
            f"The output has shape {list(output.shape)} and the target {list(target.shape)}; both need the same number "
            "of rows in their first dimension."
        )


def labels(target: Tensor, *, num_classes: int) -> Tensor:
    """`[N]` int64 class indices of a target `[N]` or `[N, 1]` of integers, booleans or whole floats.

    Raises:
        DataError: for a label that is no whole number from 0 to `num_classes - 1`, or a target of another shape.

    >>> import torch
    >>> labels(torch.tensor([0.0, 1.0, 1.0]), num_classes=2)
    tensor([0, 1, 1])
    """
    if not (target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1)):
        raise DataError(f"A target of classes has shape [N] or [N, 1]; received {list(target.shape)}.")
    flat = target.detach().reshape(-1)
    whole = flat.long()
    wrong = (whole != flat) | (whole < 0) | (whole >= num_classes)
    if bool(wrong.any()):  # synchronizes the device
        raise DataError(
            f"A label is a whole number from 0 to {num_classes - 1}; received {flat[wrong][0].item()} "
            f"in row {int(wrong.nonzero()[0])}. Number the classes from 0, or widen the output of the network."
        )
    return whole


def probabilities_only(values: Tensor) -> None:
    """Raises `DataError` where values are no probabilities: outside 0 to 1, or rows of classes that do not sum to 1."""
    outside = (values < 0) | (values > 1)
    if bool(outside.any()):
        raise DataError(
            f"A probability lies from 0 to 1; received {values[outside][0].item():.4g}. "
            'If these are logits, give scores="logits".'
        )
    if values.ndim == 2 and values.shape[1] > 1 and len(values):
        sums = values.sum(1)
        if float((sums - 1).abs().max()) > SUM_TOLERANCE:
            worst = float(sums[(sums - 1).abs().argmax()])
            raise DataError(f"The probabilities of a row sum to 1; received a row that sums to {worst:.4g}.")


def binary_scores(output: Tensor, scores: Scores = "logits") -> Tensor:
    """`[N]` float64 scores of class 1: the logit `log p/(1-p)`, or the probability `p`.

    Args:
        output: `[N]`, `[N, 1]` (one logit or probability of class 1) or `[N, 2]` (one for each class).
        scores: what the output holds. Two logits become their difference, which loses nothing near 60, where the
            probability rounds to 1.

    Raises:
        DataError: for another shape, a NaN, or probabilities outside 0 to 1.

    >>> import torch
    >>> binary_scores(torch.tensor([[0.0, 2.0], [3.0, 1.0]]))
    tensor([ 2., -2.], dtype=torch.float64)
    """
    if not (output.ndim == 1 or (output.ndim == 2 and output.shape[1] in (1, 2))):
        raise DataError(f"A binary task needs outputs [N], [N, 1] or [N, 2]; received {list(output.shape)}.")
    check_word("scores", scores, Scores)
    values = exact(output)
    refuse_nan(values, "The output")
    if scores == "probabilities":
        probabilities_only(values)
        return values[:, -1].contiguous() if values.ndim == 2 else values
    if values.ndim == 1 or values.shape[1] == 1:
        return values.reshape(-1)
    margin = values[:, 1] - values[:, 0]
    refuse_nan(margin, "The difference of two infinite logits")
    return margin


def class_scores(output: Tensor, scores: Scores = "logits") -> Tensor:
    """`[N, C]` float64 logits or probabilities of a multi-class output, checked as in `binary_scores`."""
    if output.ndim != 2 or output.shape[1] < 2:
        raise DataError(f"A multi-class task needs outputs [N, classes]; received {list(output.shape)}.")
    check_word("scores", scores, Scores)
    values = exact(output)
    refuse_nan(values, "The output")
    if scores == "probabilities":
        probabilities_only(values)
    return values


def label_scores(output: Tensor, scores: Scores = "logits") -> Tensor:
    """`[N, T]` float64 logits or probabilities of a multi-label output, one column per label; checked as the others."""
    if output.ndim != 2:
        raise DataError(
            f"A multi-label task needs outputs [N, labels]; received {list(output.shape)}. If each row has one class "
            "per position, say task='per_position'."
        )
    check_word("scores", scores, Scores)
    values = exact(output)
    refuse_nan(values, "The output")
    if scores == "probabilities" and bool(((values < 0) | (values > 1)).any()):
        raise DataError("A probability lies from 0 to 1, and an output does not. If these are logits, say so.")
    return values


def label_matrix(target: Tensor, num_labels: int) -> Tensor:
    """`[N, T]` bool of a multi-label target of 0 and 1. Raises `DataError` for other values or another shape."""
    if target.ndim != 2 or target.shape[1] != num_labels:
        raise DataError(
            f"The output has {num_labels} labels per row and the target has shape {list(target.shape)}; both need "
            "[N, labels]. Give the last layer one output per label."
        )
    positive = target.detach() != 0
    if not bool((positive == target).all()):  # synchronizes the device
        raise DataError("A multi-label target holds 0 and 1 only: 1 where the row has the label.")
    return positive


def class_dim(output: Tensor, target: Tensor) -> int | None:
    """The dimension of the outputs that counts classes, of targets `[N, ...]`: the last, or torch's 1.

    None where it cannot be told (`[N, 8, 8]` for `[N, 8]`), or the shapes do not fit.

    >>> import torch
    >>> tokens = torch.zeros(2, 5, dtype=torch.int64)
    >>> class_dim(torch.zeros(2, 5, 9), tokens), class_dim(torch.zeros(2, 9, 5), tokens)
    (2, 1)
    """
    if target.is_floating_point() or output.ndim != target.ndim + 1:
        return None
    fitting = [d for d in {1, output.ndim - 1} if output.shape[:d] + output.shape[d + 1 :] == target.shape]
    return fitting[0] if len(fitting) == 1 else None


def positions(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs `[M, V]` and targets `[M]` of all positions, as views where the classes are the last dimension.

    Raises:
        DataError: where the shapes do not fit, or do not tell which dimension counts the classes.
    """
    if (dim := class_dim(output, target)) is None:
        given = f"outputs {list(output.shape)} and targets {list(target.shape)}"
        if output.ndim == target.ndim + 1 and len(set(output.shape[1:])) == 1 and output.shape[0] == target.shape[0]:
            raise DataError(
                f"Of {given} nothing tells which dimension counts the classes, because all are {output.shape[1]}. Take "
                "windows of another length, or give the last layer one output more, which is never right."
            )
        raise DataError(
            f"One class per position needs outputs [N, ..., classes] or [N, classes, ...] for targets [N, ...]; "
            f"received {given}."
        )
    return output.movedim(dim, -1).reshape(-1, output.shape[dim]), target.reshape(-1)


def check_word(name: str, value: str, allowed: object) -> None:
    """Raises `UsageError` where `value` is none of a `Literal`'s words."""
    words = get_args(allowed)
    if value not in words:
        raise UsageError(f"{name} is {' or '.join(map(repr, words))}; received {value!r}.{did_you_mean(value, words)}")


def no_rows(_: object, target: Tensor) -> str:
    """Why a measure is NaN that only rows can make undefined; empty where there are some."""
    return "" if len(target) else "there are no rows"


def row_weights(weight: Tensor | None, like: Tensor) -> Tensor:
    """`[N]` float64 weights of rows, on the device of `like` `[N, ...]`; ones where none are given.

    Raises:
        DataError: for weights of another shape, or one that is negative or not finite.
    """
    if weight is None:
        return torch.ones(len(like), dtype=torch.float64, device=like.device)
    values = exact(weight).reshape(-1).to(like.device)
    if values.shape != like.shape[:1]:
        raise DataError(f"There is one weight for each of {len(like)} rows; received shape {list(weight.shape)}.")
    if not bool(((values >= 0) & values.isfinite()).all()):  # synchronizes the device
        raise DataError("The weight of a row is a finite number of at least 0, and one is not.")
    return values


def mean_of(values: Tensor, weight: Tensor | None) -> float:
    """The mean of rows' values `[N]` float64, weighted where weights are given; NaN without rows or weight."""
    if weight is None:
        return float(values.mean())
    shares = row_weights(weight, values)
    counted = shares > 0  # an infinite value of weight 0 counts nowhere
    return float((shares * values)[counted].sum() / shares.sum())


def mean_metric(
    name: str,
    higher_is_better: bool,
    rows: Callable[[Tensor, Tensor], Tensor],
    why: Callable[[Tensor, Tensor], str] = no_rows,
) -> Metric:
    """A metric that is the mean of the rows' values `rows(output, target)` `[N]`; a NaN among them is left out."""

    def sums(output: Tensor, target: Tensor) -> Tensor:
        values = rows(output, target)
        return torch.stack([values.nansum(), (~values.isnan()).sum().double()])

    def mean(state: Tensor) -> float:
        return float(state[0] / state[1])

    return Metric(name, higher_is_better, lambda output, target: mean(sums(output, target)), why, sums, mean)


def neutral(scores: Scores) -> float:
    """The score between the classes where nothing was chosen: logit 0, probability 1/2."""
    return 0.0 if scores == "logits" else 0.5


def predictions(output: Tensor, kind: Kind, *, scores: Scores = "logits", threshold: float | None = None) -> Tensor:
    """`[N]` int64 predicted classes: the largest score, or in a binary task whether the score exceeds the threshold.

    A score equal to the threshold is class 0, as `argmax` decides between two equal logits.

    >>> import torch
    >>> predictions(torch.tensor([-1.0, 0.0, 1.0]), "binary")
    tensor([0, 0, 1])
    """
    if kind == "binary":
        cut = neutral(scores) if threshold is None else threshold
        return (binary_scores(output, scores) > cut).long()
    return class_scores(output, scores).argmax(1)


def columns(values: Tensor) -> Tensor:
    return values[:, None] if values.ndim == 1 else values.flatten(1)


def pairs(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions and targets of a regression as `[N, T]` float64; `[N]` and `[N, 1]` are the same thing.

    Raises:
        DataError: for a NaN, or where the shapes disagree (torch would broadcast `[N]` and `[N, 1]` to `[N, N]`).
    """
    same_rows(output, target)
    predicted = columns(exact(output))
    true = columns(exact(target).to(predicted.device))
    if predicted.shape != true.shape:
        raise DataError(
            f"The output has {predicted.shape[1]} values per row and the target {true.shape[1]}: "
            f"shapes {list(output.shape)} and {list(target.shape)}."
        )
    refuse_nan(predicted, "The output")
    refuse_nan(true, "The target", "Leave out the rows without a target.")
    return predicted, true

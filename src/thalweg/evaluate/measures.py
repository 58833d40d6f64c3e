"""`measure`: every measure of a task on test rows, each with its 95 % interval, the curves and the confusion matrix."""

from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.evaluate.classification import measure_binary, measure_multiclass
from thalweg.evaluate.multilabel import measure_multilabel
from thalweg.evaluate.per_position import measure_per_position
from thalweg.evaluate.regression import measure_regression
from thalweg.evaluate.result import Result, Threshold
from thalweg.parts.metrics.forms import Kind, Scores, check_word, class_scores, label_scores, neutral, same_rows
from thalweg.parts.metrics.per_position import row_sums


def measure(
    output: Tensor,
    target: Tensor,
    *,
    kind: Kind,
    scores: Scores = "logits",
    threshold: Threshold | float | None = None,
    classes: Sequence[str] = (),
    seed: int = 0,
    replicates: int = 1000,
) -> Result:
    """Measures a network's outputs on test rows.

    Intervals: Wilson for proportions; the score interval for their means over classes; DeLong and Newcombe for the area
    under the ROC curve; Hall's t for mean losses and errors; bootstrap (BCa) over rows for average precision, r2, F1 of
    label sets, and what is measured per position.
    They speak of these rows and this network, not of another training. The coverage of each is tested by simulation.

    Args:
        output: binary `[N]`, `[N, 1]` or `[N, 2]`; multi-class `[N, C]`; multi-label `[N, T]`; per position
            `[N, ..., V]` or `[N, V, ...]`; regression `[N]` or `[N, T]`, in the unit of the target.
        target: `[N]` class indices as integers or whole floats; `[N, T]` of 0 and 1; per position `[N, ...]` with -100
            ignored; or the true values, shaped as the output.
        kind: `"binary"`, `"multiclass"`, `"multilabel"`, `"per_position"` or `"regression"`.
        scores: what a classifier's output holds; `"logits"` by default, as torch's losses take them.
        threshold: binary, or one for all labels: the cut from `choose_threshold`, or a number in the unit of the
            scores; None cuts at probability 1/2.
        classes: names of the classes in the order of their indices, of the labels or of the targets; numbers by
            default.
        seed: of the bootstrap.
        replicates: of the bootstrap; more make the limits steadier, not narrower.

    Raises:
        DataError: for no rows, NaN, labels out of range, shapes that disagree, probabilities that are none.
        UsageError: for an unknown kind, a threshold that does not fit the task, a wrong number of class names.

    >>> result = measure(torch.tensor([2.0, -1.0, 0.5, -3.0]), torch.tensor([1, 0, 0, 0]), kind="binary")
    >>> print(result["accuracy"])
    accuracy  0.75  [0.3006, 0.9544]
    """
    check_word("kind", kind, Kind)
    check_word("scores", scores, Scores)
    if threshold is not None and kind not in ("binary", "multilabel"):
        raise UsageError(f"A threshold belongs to a binary or multi-label task; this one is {kind}. Leave it out.")
    if not output.numel():
        raise DataError("There are no rows to measure. Give the test part at least one row.")
    same_rows(output, target)
    # Copies on the CPU, whatever the caller's default device and also where the outputs come from inference mode.
    with torch.inference_mode(False), torch.device("cpu"):
        output, target = output.detach().cpu().clone(), target.detach().cpu().clone()
        if kind == "regression":
            named = tuple(map(str, classes))
            return measure_regression(output, target, seed=seed, replicates=replicates, names=named)
        if kind == "per_position":
            return measure_per_position(row_sums(output, target), seed=seed, replicates=replicates)
        names = class_names(classes, num_classes(output, kind, scores))
        if kind == "multiclass":
            return measure_multiclass(output, target, scores=scores, classes=names, seed=seed, replicates=replicates)
        cut = as_threshold(threshold, scores)
        if kind == "multilabel":
            return measure_multilabel(
                output, target, scores=scores, threshold=cut, labels=names, seed=seed, replicates=replicates
            )
        return measure_binary(
            output, target, scores=scores, threshold=cut, classes=names, seed=seed, replicates=replicates
        )


def num_classes(output: Tensor, kind: Kind, scores: Scores) -> int:
    if kind == "binary":
        return 2
    return (label_scores if kind == "multilabel" else class_scores)(output, scores).shape[1]


def class_names(classes: Sequence[str], count: int) -> tuple[str, ...]:
    if not classes:
        return tuple(map(str, range(count)))
    if len(classes) != count:
        raise UsageError(f"The output has {count} classes; received {len(classes)} names: {list(classes)}.")
    return tuple(map(str, classes))


def as_threshold(threshold: Threshold | float | None, scores: Scores) -> Threshold:
    if threshold is None:
        return Threshold(neutral(scores), scores, "default")
    if not isinstance(threshold, Threshold):
        return Threshold(float(threshold), scores, "given")
    if threshold.scores != scores:
        raise UsageError(f"The threshold was chosen on {threshold.scores}, and the outputs are {scores}. Use the same.")
    return threshold

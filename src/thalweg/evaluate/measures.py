"""`evaluate_outputs`: every measure of a task on test rows with 95 % intervals, the curves and the confusion matrix."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.evaluate.asked import measure_metric
from thalweg.evaluate.classification import measure_binary, measure_multiclass
from thalweg.evaluate.clustered import clustered
from thalweg.evaluate.functions import (
    Functions,
    class_functions,
    label_functions,
    position_functions,
    value_functions,
)
from thalweg.evaluate.multilabel import measure_multilabel
from thalweg.evaluate.per_position import measure_per_position
from thalweg.evaluate.regression import measure_regression
from thalweg.evaluate.result import Result, Threshold
from thalweg.parts.metrics import metric
from thalweg.parts.metrics.forms import (
    Kind,
    Scores,
    binary_scores,
    check_word,
    class_scores,
    label_scores,
    neutral,
    same_rows,
)
from thalweg.parts.metrics.per_position import COUNT, row_sums


def evaluate_outputs(
    output: Tensor,
    target: Tensor,
    *,
    kind: Kind,
    scores: Scores = "logits",
    threshold: Threshold | float | None = None,
    classes: Sequence[str] = (),
    groups: Tensor | None = None,
    metrics: Sequence[str | Callable[[Any, Tensor], float]] = (),
    seed: int = 0,
    replicates: int = 1000,
) -> Result:
    """Measures a network's outputs on test rows.

    Intervals: Wilson for proportions; the score interval for their means over classes; DeLong and Newcombe for the area
    under the ROC curve; Hall's t for mean losses and errors; bootstrap (BCa) over rows for average precision, r2, F1 of
    label sets, and what is measured per position. Where rows depend on each other (`groups`) all come from a bootstrap
    of whole groups. They speak of these rows and this network, not of another training. The coverage of each is tested
    by simulation.

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
        groups: `[N]` integer codes: rows of one code, such as those of one person, depend on each other.
        metrics: more measures, by name as in `Experiment(metrics=...)` or functions `(output, target) -> float`, with
            bootstrap intervals; decisions are made at the threshold.
        seed: of the bootstrap.
        replicates: of the bootstrap; more make the limits steadier, not narrower.

    Raises:
        DataError: for no rows, NaN, labels out of range, shapes that disagree, probabilities that are none.
        UsageError: for an unknown kind, a threshold that does not fit the task, a wrong number of class names.

    >>> result = evaluate_outputs(torch.tensor([2.0, -1.0, 0.5, -3.0]), torch.tensor([1, 0, 0, 0]), kind="binary")
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
        drawn: dict[str, Any] = {"seed": seed, "replicates": replicates}
        if kind == "per_position":
            if metrics:
                raise UsageError(f"Per position nothing is measured by name here; received metrics={list(metrics)}.")
            return measure_positions(row_sums(output, target), groups=groups, **drawn)
        result, functions = measure_rows(output, target, kind, scores, threshold, classes, drawn)
        if groups is not None:
            result = clustered(result, functions, same_length(groups, target), **drawn)
        cut = 0.0 if result.threshold is None else result.threshold.value
        logits = as_logits(output, kind, scores, cut)
        for name in metrics:
            asked = metric(name, kind)
            if asked.name not in result:  # a function of the user's own takes what the network gives
                extra = measure_metric(asked, output if callable(name) else logits, target, groups=groups, **drawn)
                result = replace(result, measures=(*result.measures, extra))
        return result


def measure_rows(
    output: Tensor,
    target: Tensor,
    kind: Kind,
    scores: Scores,
    threshold: Threshold | float | None,
    classes: Sequence[str],
    drawn: dict[str, Any],
) -> tuple[Result, Functions]:
    """The measures of one kind of task over independent rows, and each as a function of the rows' weights."""
    if kind == "regression":
        names = tuple(map(str, classes))
        result = measure_regression(output, target, names=names, **drawn)
        return result, value_functions(output, target, names=[row.name for row in result.per_target])
    names = class_names(classes, num_classes(output, kind, scores))
    cut = as_threshold(threshold, scores)
    if kind == "multilabel":
        result = measure_multilabel(output, target, scores=scores, threshold=cut, labels=names, **drawn)
        return result, label_functions(output, target, scores=scores, threshold=cut, names=names)
    if kind == "multiclass":
        result = measure_multiclass(output, target, scores=scores, classes=names, **drawn)
    else:
        result = measure_binary(output, target, scores=scores, threshold=cut, classes=names, **drawn)
    own = result.threshold
    return result, class_functions(output, target, kind=kind, scores=scores, threshold=own, classes=names)


def measure_positions(sums: Tensor, *, groups: Tensor | None = None, seed: int, replicates: int) -> Result:
    """The measures of a class per position from the sums of each row."""
    result = measure_per_position(sums, seed=seed, replicates=replicates)
    if groups is None:
        return result
    kept = sums[:, COUNT] > 0
    groups = same_length(groups, sums)[kept]
    return clustered(result, position_functions(sums[kept]), groups, seed=seed, replicates=replicates)


def same_length(groups: Tensor, rows: Tensor) -> Tensor:
    if groups.shape != rows.shape[:1]:
        raise UsageError(f"groups has shape {list(groups.shape)}; give one code per row, [{len(rows)}].")
    return groups.cpu()


def as_logits(output: Tensor, kind: Kind, scores: Scores, cut: float) -> Tensor:
    """A classifier's outputs as the metrics by name take them: logits, of which those above 0 are called positive."""
    if kind == "regression":
        return output
    if kind == "multiclass":
        return output if scores == "logits" else output.log()
    values = label_scores(output, scores) if kind == "multilabel" else binary_scores(output, scores)
    if cut == -torch.inf:
        cut = float(values.min()) - 1
    if scores == "logits":
        return values - cut
    return values.logit() - torch.tensor(cut, dtype=values.dtype).clamp(0, 1).logit()


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

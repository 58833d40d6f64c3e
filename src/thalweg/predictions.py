"""A run asked about rows: what its model answers, as labels, values or probabilities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thalweg.data.asked import asked_rows
from thalweg.data.inputs import InputSpec
from thalweg.data.rows import AnyRows, Rows, tensors_of
from thalweg.data.task import Task
from thalweg.errors import UsageError
from thalweg.parts.metrics.forms import Scores, binary_scores, label_scores, neutral
from thalweg.saved import BATCH_ROWS, batches_of, few_rows, outputs_of, scores_of

if TYPE_CHECKING:
    from thalweg.run import Run

CUT = ("binary", "multilabel")  # tasks whose scores are cut at a threshold


def raw_outputs(run: "Run", x: Any, model: nn.Module | None = None) -> Any:
    model = run.model if model is None else model
    output, _ = next(iter(batches_of(model, rows := rows_of(run, x), BATCH_ROWS)))
    if not isinstance(output, Tensor | tuple | dict):
        raise UsageError(
            f"{type(run.network).__name__} returns a {type(output).__name__}, of which no labels or values are known; "
            "run.model(x) gives it."
        )
    return outputs_of(model, rows)[0]


def rows_of(run: "Run", x: Any) -> AnyRows:
    """What the model is asked about, in the form of the training data."""
    kind = run.store.get("task")["kind"]
    if kind == "own":
        raise UsageError(
            "The step of this run gives the loss alone, so there is nothing to predict; run.network is the trained "
            "network."
        )
    train = None if run._experiment is None else run._experiment.data.train
    spec = InputSpec.from_json(run.store.get("inputs"))
    rows = asked_rows(x, spec, train, any_length=kind == "per_position")
    if not len(rows):
        raise UsageError("There are no rows to predict: the inputs have none. Give at least one.")
    return rows


def class_outputs(run: "Run", x: Any, model: nn.Module | None = None) -> tuple[Task, Tensor, Scores]:
    task = Task.from_json(run.store.get("task"))
    output = raw_outputs(run, x, model)
    return task, output, scores_of(run.store.get("loss"), output, labels=task.kind == "multilabel")


def probabilities(run: "Run", x: Any, model: nn.Module | None = None) -> Tensor:
    """`[N, classes]`; of labels `[N, T]`, per position `[N, ..., V]`. Probabilities are passed on as they are."""
    task, output, scores = class_outputs(run, x, model)
    if task.kind == "regression":
        raise UsageError("A regression has no probabilities; run.predict(x) gives its values.")
    return class_probabilities(output, task.kind, scores, run.store.get("class_dim"))


def class_probabilities(output: Tensor, kind: str, scores: Scores, dim: int | None) -> Tensor:
    """A classifier's outputs as probabilities, the classes last; `dim` is theirs where each position has one."""
    if kind == "multilabel":
        return output if scores == "probabilities" else output.sigmoid()
    if kind == "per_position":
        assert dim is not None
        return output.movedim(dim, -1).softmax(-1)
    if output.dim() > 1 and output.shape[1] > 1:
        return output if scores == "probabilities" else output.softmax(1)
    positive = output.reshape(-1)
    positive = positive if scores == "probabilities" else positive.sigmoid()
    return torch.stack([1 - positive, positive], dim=1)


def predict(
    run: "Run", x: Any, threshold: float | Sequence[float] | None, model: nn.Module | None = None
) -> NDArray[Any]:
    """Labels, or values in the target's unit."""
    task = Task.from_json(run.store.get("task"))
    if threshold is not None:
        check_threshold(threshold, task)
    if task.kind == "per_position":
        return predict_positions(run, x, task)
    output = raw_outputs(run, x, model)
    scores = scores_of(run.store.get("loss"), output, labels=task.kind == "multilabel")
    if task.kind == "regression":
        values: NDArray[Any] = output.float().numpy()
        return values
    if task.kind == "multiclass":
        index = output.argmax(1)
    else:
        cut = cut_of(run, threshold, scores)
        if task.kind == "multilabel":
            called: NDArray[Any] = (label_scores(output, scores) > cut).numpy()
            return called
        index = (binary_scores(output, scores) > cut).long()
    labels: NDArray[Any] = np.asarray(task.classes)[index.numpy()]
    return labels


def predict_positions(run: "Run", x: Any, task: Task) -> NDArray[Any]:
    """`[N, ...]` int64, the likeliest class of each position; a few rows at once."""
    rows = rows_of(run, x)
    size = few_rows(tensors_of(rows.inputs)[0][0], task) if isinstance(rows, Rows) else BATCH_ROWS
    dim = run.store.get("class_dim")
    parts = [output.argmax(dim).cpu() for output, _ in batches_of(run.model, rows, size)]
    found: NDArray[Any] = torch.cat(parts).numpy()
    return found


def check_threshold(threshold: float | Sequence[float], task: Task) -> None:
    values = [threshold] if isinstance(threshold, int | float) else list(threshold)
    several = len(values) > 1 or not isinstance(threshold, int | float)
    fits = task.kind == "multilabel" and len(values) == len(task.classes) if several else task.kind in CUT
    if not fits or not all(0 < value < 1 for value in values):
        raise UsageError(
            f"threshold={threshold!r} must be a probability between 0 and 1, of a binary or multi-label task, or one "
            "for each label."
        )


def cut_of(run: "Run", threshold: float | Sequence[float] | None, scores: Scores) -> Tensor | float:
    """The cut in the unit of the scores: the user's, the one that `evaluate` chose, or that of probability 1/2."""
    if threshold is not None:
        share = torch.as_tensor(threshold, dtype=torch.float64)
        return share if scores == "probabilities" else share.logit()
    result = run.result
    return neutral(scores) if result is None or result.threshold is None else result.threshold.value

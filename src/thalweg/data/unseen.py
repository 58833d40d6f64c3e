"""Classes that validation or test rows have and training rows lack: allowed where a class is an output's number."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.data.checks import name_classes
from thalweg.data.task import CLASSES, Task
from thalweg.errors import ModelError
from thalweg.readings import Reading

if TYPE_CHECKING:
    from thalweg.data.rows import Part
    from thalweg.data.targets import Target


def counts_outputs(task: Task) -> bool:
    """Whether the classes are the numbers 0, 1, ..., K-1, each that of an output of a loss of the user's own.

    A loss that is known by its name has an output per class of the training rows, and others are refused.
    """
    numbers = all(isinstance(label, int) and not isinstance(label, bool) for label in task.classes)
    return (
        numbers
        and task.encoding == "as given"
        and task.kind in CLASSES
        and task.classes == tuple(range(len(task.classes)))
    )


def widened(task: Task, target: "Target") -> Task:
    """The task with the classes of another part's labels too, where they are numbers of outputs; else as it is.

    What the training rows have stays the same: a label is still its own number.

    >>> widened(Task("binary", (0, 1), 2, "as given"), torch.tensor([0, 3])).classes
    (0, 1, 2, 3)
    >>> widened(Task("binary", (0, 1), 2), torch.tensor([0, 3])).classes
    (0, 1)
    """
    if not isinstance(target, Tensor) or not target.numel() or not counts_outputs(task):
        return task
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool or target.min() < 0:
        return task
    return with_classes(task, int(target.max()) + 1)


def with_classes(task: Task, count: int) -> Task:
    """The task with at least so many classes, numbered from 0."""
    if count <= len(task.classes):
        return task
    outputs = count if task.num_outputs == len(task.classes) else task.num_outputs
    kind = "multiclass" if count > 2 else task.kind
    return replace(task, kind=kind, classes=tuple(range(count)), num_outputs=outputs)


def describe_classes(counts: Mapping["Part", Sequence[int]], classes: Sequence[object]) -> list[Reading]:
    """How the classes are spread over the parts; nothing where the training rows have several and all.

    Readings, each with the part as its place: `labels.classes`, how many classes the part has; `labels.unseen`, the
    share of its rows whose class no training row has, with these classes as note.

    >>> made = describe_classes({"train": [9, 0], "validation": [3, 1]}, (0, 1))
    >>> [(r.name, r.place, r.value, r.note) for r in made][-1]
    ('labels.unseen', 'validation', 0.25, 'class 1')
    """
    trained = counts.get("train")
    if trained is None:
        return []
    readings = [present("train", trained)]
    for part, rows in counts.items():
        lacking = [i for i, count in enumerate(rows) if count and not trained[i]]
        if part == "train" or not lacking:
            continue
        share = sum(rows[i] for i in lacking) / sum(rows)
        named = name_classes([repr(classes[i]) for i in lacking])
        readings += [present(part, rows), Reading("labels.unseen", share, place=part, count=sum(rows), note=named)]
    return readings if len(readings) > 1 else []


def present(part: "Part", rows: Sequence[int]) -> Reading:
    return Reading("labels.classes", sum(count > 0 for count in rows), place=part, count=sum(rows))


def require_outputs(output: Any, task: Task) -> None:
    """Raises `ModelError` where a part has labels for which the network has no output."""
    if isinstance(output, Tensor) and output.dim() == 2 and 1 < output.shape[1] < len(task.classes):
        raise ModelError(
            f"The network has {output.shape[1]} outputs, and the labels of validation or test go up to "
            f"{len(task.classes) - 1}, which no training row has. Give the last layer {len(task.classes)} outputs, or "
            "leave the rows of those classes out."
        )

"""Targets of more than one value per row: label sets `[N, T]`, and a class for each position of `[N, L]`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from thalweg.data.arrays import list_rows
from thalweg.data.task import Kind, Label, Task
from thalweg.errors import DataError
from thalweg.parts.metrics.forms import IGNORED

if TYPE_CHECKING:
    from thalweg.data.rows import Part
    from thalweg.data.targets import Target

RARE = 10  # rows of a label set below which it is split together with the other rare ones
SHOWN = 5


def holds_sets(target: "Target") -> bool:
    return not isinstance(target, Tensor) and isinstance(target[0], frozenset)


def wide_kind(target: "Target", loss_name: str | None, task: str | None) -> Kind | None:
    """`"multilabel"` or `"per_position"`, where target, loss and the user's word say so; else None.

    Raises:
        DataError: for label sets under a loss that takes one label per row.
    """
    if holds_sets(target):
        if loss_name not in (None, "binary_cross_entropy"):
            raise DataError(
                f"The rows have sets of labels such as {sorted(target[0])}, and the loss {loss_name!r} takes one label "
                "per row. Take loss='binary_cross_entropy', which has one output per label."
            )
        return "multilabel"
    if not isinstance(target, Tensor) or target.ndim < 2 or (target.ndim == 2 and target.shape[1] == 1):
        return None
    if task in ("multilabel", "per_position"):
        return task  # type: ignore[return-value]
    flags = target.ndim == 2 and bool(((target == 0) | (target == 1)).all())
    varied = flags and bool((target != target[0, 0]).any())  # a target of zeros is often one that the loss ignores
    if loss_name == "binary_cross_entropy" or (loss_name is None and task is None and varied):
        return "multilabel"
    if target.is_floating_point() or target.is_complex() or loss_name not in (None, "cross_entropy", "nll"):
        return None
    one_hot = flags and bool((target.sum(1) == 1).all())
    return None if one_hot or task is not None else "per_position"


def multilabel_task(target: "Target", loss_name: str | None, names: Sequence[Label]) -> Task:
    """The task of a target of label sets or of 0 and 1 in `[N, T]`."""
    if isinstance(target, Tensor):
        check_flags(target, loss_name)
        if bool((target == target[0, 0]).all()):
            raise DataError(
                f"All labels of all {len(target):,} rows are {target[0, 0].item():g}; there is nothing to learn. Check "
                "that the right columns were taken."
            )
        classes = tuple(names) or tuple(range(target.shape[1]))
        return Task("multilabel", classes, len(classes), "as given" if loss_name is None else "zero-one")
    labels = tuple(sorted(frozenset().union(*target)))
    return Task("multilabel", labels, len(labels), "zero-one")


def check_flags(target: Tensor, loss_name: str | None) -> None:
    """Raises `DataError` where a target of labels has another shape than `[N, T]`, or other values than 0 and 1."""
    what = f"The loss {loss_name!r}" if loss_name else "A multi-label task"
    if target.ndim != 2:
        raise DataError(
            f"{what} takes a target of shape [N] or [N, labels]; received {list(target.shape)}. For a class of each "
            "position take loss='cross_entropy' with an output per class."
        )
    wrong = (target != 0) & (target != 1)
    if bool(wrong.any()):
        rows = wrong.any(1).nonzero()[:, 0]
        raise DataError(
            f"{what} takes labels of 0 and 1 in [N, T]; received {target[wrong][0].item()!r} in {list_rows(rows)} "
            "(counted from 0). For numbers take loss='mse'; for shares between 0 and 1 pass a loss of your own."
        )


def encode_labels(target: "Target", task: Task) -> Tensor:
    """`[N, T]` floats of 0 and 1, in the order of the task's labels; as given for a loss of the user's own.

    Raises:
        DataError: for a label that the training data lack, another number of columns, values other than 0 and 1.

    >>> import numpy as np
    >>> sets = np.array([frozenset({"red"}), frozenset({"blue", "red"})], dtype=object)
    >>> encode_labels(sets, Task("multilabel", ("blue", "red"), 2, "zero-one")).tolist()
    [[0.0, 1.0], [1.0, 1.0]]
    """
    if isinstance(target, Tensor):
        check_flags(target, None)
        if target.shape[1] != len(task.classes):
            raise DataError(f"The target has {target.shape[1]} labels per row, the training data {len(task.classes)}.")
        return target if task.encoding == "as given" else target.to(torch.float32)
    if not holds_sets(target):
        raise DataError(f"The target holds {target[0]!r}; sets of labels are needed, as in the training data.")
    places = {label: k for k, label in enumerate(task.classes)}
    unknown = [row for row, labels in enumerate(target) if not labels <= places.keys()]
    if unknown:
        label = sorted(target[unknown[0]] - places.keys())[0]
        raise DataError(
            f"The label {label!r} in {list_rows(torch.tensor(unknown))} (counted from 0) is none of the training "
            "data's labels. Leave it out, or add rows that have it to the training data."
        )
    encoded = torch.zeros(len(target), len(places))
    for row, labels in enumerate(target):
        encoded[row, [places[label] for label in labels]] = 1.0
    return encoded


def per_position_task(target: "Target", loss_name: str | None) -> Task:
    """The task of a class for each position. The outputs needed are at least those of the classes that occur."""
    assert isinstance(target, Tensor)
    encoded = whole_positions(target)
    counted = encoded[encoded != IGNORED]
    if not len(counted) or bool((counted == counted[0]).all()):
        held = f"one class only, {int(counted[0])}" if len(counted) else f"no position but ignored ones ({IGNORED})"
        raise DataError(f"The target has {held}; there is nothing to learn. Check that the right array was taken.")
    num_classes = int(counted.max()) + 1
    return Task("per_position", (), num_classes, "index" if loss_name else "as given")


def encode_positions(target: "Target", task: Task) -> Tensor:
    """`[N, ...]` int64; as given for a loss of the user's own."""
    if not isinstance(target, Tensor) or target.ndim < 2:
        raise DataError("The target has one value per row; a class per position is needed, as in the training data.")
    encoded = whole_positions(target)
    return target if task.encoding == "as given" else encoded


def whole_positions(target: Tensor) -> Tensor:
    """The target as int64. Raises `DataError` for fractions and negative labels other than -100."""
    whole = target.long()
    wrong = (whole != target) | ((whole < 0) & (whole != IGNORED))
    if bool(wrong.any()):
        rows = wrong.flatten(1).any(1).nonzero()[:, 0]
        raise DataError(
            f"A class of a position is a whole number from 0; received {target[wrong][0].item()!r} in "
            f"{list_rows(rows)} (counted from 0). Positions that shall not count get {IGNORED}."
        )
    return whole


def strata(target: Tensor, codes: Tensor | None, task: Task) -> Tensor | None:
    """What a split spreads evenly over its parts, `[N]`: the class, or the label set; None where there is nothing.

    Label sets of fewer than 10 rows are one stratum together: each on its own, they would all stay in training.
    """
    if task.kind != "multilabel":
        return codes
    sets, counts = torch.unique(target != 0, dim=0, return_inverse=True, return_counts=True)[1:]
    return torch.where(counts[sets] < RARE, len(counts), sets)


def label_counts(targets: Mapping["Part", Tensor], task: Task) -> "dict[str, dict[Part, int]]":
    """Rows that have each label, per part."""
    sums = {part: (target != 0).sum(0).tolist() for part, target in targets.items()}
    return {str(label): {part: sums[part][k] for part in sums} for k, label in enumerate(task.classes)}


def label_notes(counts: "Mapping[str, Mapping[Part, int]]", rows: "Mapping[Part, int]") -> list[str]:
    """Labels that all or none of the rows of a part have: nothing can be learned of them, or measured.

    >>> label_notes({"rain": {"train": 0}, "snow": {"train": 3}}, {"train": 9})
    ["no training row has label 'rain', which cannot be learned"]
    """
    notes = []
    for part, num_rows in rows.items():
        name = "training" if part == "train" else part
        lost = "cannot be learned" if part == "train" else "cannot be found there"
        absent = [label for label, of in counts.items() if not of[part]]
        always = [label for label, of in counts.items() if of[part] == num_rows]
        if absent:
            notes.append(f"no {name} row has {name_labels(absent)}, which {lost}")
        if always:
            notes.append(f"all {name} rows have {name_labels(always)}")
    return notes


def name_labels(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - SHOWN:,} more" if len(labels) > SHOWN else ""
    return f"label{'s' if len(labels) > 1 else ''} {', '.join(map(repr, labels[:SHOWN]))}{more}"

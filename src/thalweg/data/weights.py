"""How much each row counts in the loss: weights of the samples times weights of their classes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.data.arrays import list_rows, to_tensor
from thalweg.data.rows import Part
from thalweg.data.task import CLASSES, Label, Task
from thalweg.errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    from thalweg.data.assemble import PartOf

ClassWeights = str | Sequence[float] | Mapping[Any, float] | Tensor


def find_sample_weights(values: Any, num_rows: int) -> Tensor:
    """`[N]` float32 of the weights that the user gave.

    Raises:
        DataError: for another length, values that are negative or not finite, or all zero.

    >>> find_sample_weights([1, 2, 0.5], 3)
    tensor([1.0000, 2.0000, 0.5000])
    """
    weights = to_tensor(values, "sample_weights").reshape(-1).double()
    if len(weights) != num_rows:
        raise DataError(f"sample_weights needs one weight per row, {num_rows:,}; received {len(weights):,}.")
    wrong = ~weights.isfinite() | (weights < 0)
    if bool(wrong.any()):
        rows = wrong.nonzero()[:, 0]
        raise DataError(
            f"sample_weights has {weights[wrong][0].item():g} in {list_rows(rows)} (counted from 0); a weight is a "
            "number from 0. Rows that shall not count get 0."
        )
    if not bool((weights > 0).any()):
        raise DataError("All sample_weights are 0, so that no row counts. Give some row a weight above 0.")
    return weights.float()


def class_weight_values(class_weights: ClassWeights, task: Task, counts: Sequence[float], num_rows: int) -> Tensor:
    """`[K]` float64: the weight of each class, or of the positive entries of each label of a multi-label task.

    `"balanced"` is `N / (K n_k)` for class k with `n_k` of the N training rows, as in scikit-learn; of a multi-label
    task `(N - n_k) / n_k`, so that positive and negative entries of a label weigh alike.

    Args:
        class_weights: `"balanced"`, one number per class in the order of `task.classes`, or label -> number, where a
            label left out has 1.
        task: the task.
        counts: `n_k`, training rows of each class or label.
        num_rows: N, training rows.

    Raises:
        UsageError: for a task without classes, an unknown label, another word or length.
        DataError: for weights that are negative, not finite or all zero; or a class without training rows to balance.

    >>> class_weight_values("balanced", Task("binary", ("no", "yes"), 2), (90, 10), 100).tolist()
    [0.5555555555555556, 5.0]
    """
    if task.kind not in (*CLASSES, "multilabel"):
        own = "Pass loss=nn.CrossEntropyLoss(weight=...) instead." if task.kind == "per_position" else "Leave it out."
        raise UsageError(
            f"class_weights are for tasks with one class or a label set per row; this one is {task.kind}. {own}"
        )
    if isinstance(class_weights, str):
        if class_weights != "balanced":
            raise UsageError(
                f"class_weights got {class_weights!r}; allowed: 'balanced', one number per class, or label -> number."
            )
        return balanced(task, counts, num_rows)
    weights = given_weights(class_weights, task)
    wrong = [k for k, weight in enumerate(weights) if not math.isfinite(weight) or weight < 0]
    if wrong:
        label, weight = task.classes[wrong[0]], weights[wrong[0]]
        raise DataError(f"class_weights has {weight:g} for the label {label!r}; a weight is a number from 0.")
    if not any(weights):
        raise DataError("All class_weights are 0, so that no row counts. Give some class a weight above 0.")
    return torch.tensor(weights, dtype=torch.float64)


def balanced(task: Task, counts: Sequence[float], num_rows: int) -> Tensor:
    absent = [label for label, count in zip(task.classes, counts, strict=True) if not count]
    if absent:
        raise DataError(
            f"class_weights='balanced' needs training rows of every label; there are none of {absent[0]!r}. Add some, "
            "or give the weights as label -> number."
        )
    found = torch.tensor(counts, dtype=torch.float64)
    return (num_rows - found) / found if task.kind == "multilabel" else num_rows / (len(counts) * found)


def given_weights(class_weights: Sequence[float] | Mapping[Any, float] | Tensor, task: Task) -> list[float]:
    """The numbers in the order of the classes."""
    if isinstance(class_weights, Mapping):
        unknown = [label for label in class_weights if label not in task.classes]
        if unknown:
            near = did_you_mean(str(unknown[0]), [str(label) for label in task.classes])
            raise UsageError(
                f"class_weights names the label {unknown[0]!r}, which is none of the training data's.{near} They are: "
                f"{name_some(task.classes)}."
            )
        return [float(class_weights.get(label, 1.0)) for label in task.classes]
    if len(class_weights) != len(task.classes):
        raise UsageError(
            f"class_weights needs one number per class, {len(task.classes)} in the order {name_some(task.classes)}; "
            f"received {len(class_weights)}."
        )
    return [float(weight) for weight in class_weights]


def name_some(labels: Sequence[Label], shown: int = 10) -> str:
    return ", ".join(map(repr, labels[:shown])) + (", ..." if len(labels) > shown else "")


def row_weights(samples: Tensor | None, classes: Tensor | None, codes: Tensor | None) -> Tensor | None:
    """`[N]` float32: each row's own weight times that of its class; None where there is neither.

    >>> row_weights(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 3.0]), torch.tensor([1, 0])).tolist()
    [3.0, 1.0]
    """
    if classes is None or codes is None:
        return samples
    of_class = classes[codes].float()
    return of_class if samples is None else samples * of_class


def weigh(
    parts: Mapping[Part, "PartOf"], task: Task, class_weights: ClassWeights | None
) -> tuple[dict[Part, "PartOf"], Tensor | None]:
    """The parts with the weights `[N]` of their rows, and the weights `[T]` of the positive entries of each label.

    The weights of the classes are found on training rows and hold for validation rows too. Test rows have none, since
    measures are not weighted. Where only some parts have weights of their own, the rows of others count 1.
    """
    train = parts["train"]
    of_classes = positive = None
    if class_weights is not None:
        counts = train_counts(train, task)
        values = class_weight_values(class_weights, task, counts, len(train.ids))
        of_classes, positive = (None, values) if task.kind == "multilabel" else (values, None)
    weighted = [part for part, of in parts.items() if of.weights is not None and part != "test"]
    found: dict[Part, PartOf] = {}
    for part, of in parts.items():
        codes = None if of.data.codes is None else of.data.codes[of.ids]
        own = torch.ones(len(of.ids)) if of.weights is None and weighted else of.weights
        weights = None if part == "test" else row_weights(own, of_classes, codes)
        if weights is not None and not bool((weights > 0).any()):
            raise DataError(f"All {'training' if part == 'train' else part} rows have weight 0, so that none counts.")
        found[part] = replace(of, weights=weights)
    return found, positive


def train_counts(train: "PartOf", task: Task) -> list[float]:
    """Training rows of each class or label; empty for a task without classes."""
    if task.kind == "multilabel":
        return [float(n) for n in (train.data.target[train.ids] != 0).sum(0)]
    if train.data.codes is None:
        return []
    return [float(n) for n in torch.bincount(train.data.codes[train.ids], minlength=len(task.classes))]

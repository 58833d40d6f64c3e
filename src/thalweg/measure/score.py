"""How well outputs answer targets, row by row, in the measure that users mean: share of right answers, or R2.

A loss has no common scale: half of a cross-entropy may be all of an accuracy. What a fault costs is told in these.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from thalweg.data.task import Task
from thalweg.measure.head import Head
from thalweg.parts.metrics.forms import IGNORED, class_dim


@dataclass(frozen=True)
class Score:
    """Scores of rows.

    Args:
        name: `"accuracy"`, or `"r2"`.
        each: `[N]` float64: 1 for a right answer (of several labels or positions the share), 0 for a wrong one; of a
            regression contributions whose mean is R2.
        constant: the mean that the best constant answer reaches on these rows: the largest class's share, or 0.
        labels: `[N]` class of each row, where it has one; else None.
    """

    name: str
    each: Tensor
    constant: float
    labels: Tensor | None = None

    @property
    def value(self) -> float:
        return float(self.each.mean())

    @property
    def error(self) -> float:
        """Standard error of the mean over independent rows."""
        return float(self.each.std()) / sqrt(len(self.each)) if len(self.each) > 1 else float("inf")

    def at(self, positions: Tensor) -> "Score":
        """The same on some of the rows; the constant answer's mean stays that of all."""
        labels = None if self.labels is None else self.labels[positions]
        return Score(self.name, self.each[positions], self.constant, labels)

    def balanced(self) -> "Score":
        """The same with every class counted alike: the mean is the mean of the classes' recalls."""
        if self.labels is None:
            return self
        counts = self.labels.bincount()
        present = int((counts > 0).sum())
        weight = len(self.labels) / (present * counts[self.labels].double())
        return Score(f"balanced {self.name}", self.each * weight, 1 / present, self.labels)


def score(output: object, target: Tensor, *, task: Task, head: Head) -> Score | None:
    """Scores of outputs `[N, ...]`; None where they are no tensor, of another form than the task, or not finite.

    None as well for a regression whose loss asks for something else than the target itself (`Head.central`).

    >>> from thalweg.measure.head import FREE
    >>> task = Task("multiclass", (0, 1, 2), 3)
    >>> found = score(torch.eye(3)[[0, 1, 1]], torch.tensor([0, 1, 2]), task=task, head=FREE)
    >>> found.name, round(found.value, 3), round(found.constant, 3)
    ('accuracy', 0.667, 0.333)
    """
    if not isinstance(output, Tensor) or task.kind == "own" or len(output) != len(target) or not len(target):
        return None
    output, target = output.detach().double(), target.detach()
    if not bool(output.isfinite().all()):  # synchronizes
        return None
    if task.kind == "regression":
        if not head.central:
            return None
        return explained(output.reshape(len(output), -1), target.double().reshape(len(target), -1))
    cut = 0.5 if head.low >= 0 and head.high <= 1 else 0.0
    if target.is_floating_point() or output.shape == target.shape:
        return of_labels(output > cut, target > 0.5) if output.numel() == target.numel() else None
    if output.numel() == len(output) and target.dim() == 1:
        return of_classes((output.reshape(-1) > cut).long(), target)
    dim = class_dim(output, target)
    if dim is None:
        return None
    return of_classes(output.argmax(dim), target)


def best_constant(target: Tensor, *, task: Task) -> Score | None:
    """The score of the best answer that is the same for every row; None for a task of its own.

    >>> best_constant(torch.tensor([1, 1, 2]), task=Task("multiclass", (0, 1, 2), 3)).value == 2 / 3
    True
    """
    if task.kind == "own" or not len(target):
        return None
    if task.kind == "regression":
        wanted = target.double().reshape(len(target), -1)
        return explained(wanted.mean(0).expand_as(wanted), wanted)
    if target.is_floating_point():
        positive = target > 0.5
        return of_labels((positive.double().mean(0) > 0.5).expand_as(positive), positive)
    return of_classes(target[target != IGNORED].mode().values.expand_as(target), target)


def explained(output: Tensor, target: Tensor) -> Score | None:
    if output.shape != target.shape:
        return None
    total = (target - target.mean(0)).square().sum() / len(target)
    if not bool(total > 0):
        return None
    return Score("r2", 1 - (output - target).square().sum(1) / total, 0.0)


def of_labels(found: Tensor, wanted: Tensor) -> Score:
    found, wanted = found.reshape(len(found), -1), wanted.reshape(len(wanted), -1)
    share = wanted.double().mean(0)
    labels = wanted[:, 0].long() if wanted.shape[1] == 1 else None
    each = (found == wanted).double().mean(1)
    return Score("accuracy", each, float(torch.maximum(share, 1 - share).mean()), labels)


def of_classes(found: Tensor, wanted: Tensor) -> Score | None:
    found, wanted = found.reshape(len(found), -1), wanted.reshape(len(wanted), -1)
    counted = wanted != IGNORED
    if not bool(counted.any(1).all()):
        return None
    each = ((found == wanted) & counted).double().sum(1) / counted.sum(1)
    counts = wanted[counted].bincount()
    labels = wanted[:, 0] if wanted.shape[1] == 1 else None
    return Score("accuracy", each, float(counts.max()) / int(counted.sum()), labels)

"""Test-time augmentation: a run's answers averaged over several views of each row (L32)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.augmenting import parted
from thalweg.data.augmented import Augmenter, brightest, fitting
from thalweg.data.rows import AnyRows, Inputs, call, tensors_of
from thalweg.data.task import Task
from thalweg.errors import UsageError
from thalweg.evaluate.result import Gain, Measure
from thalweg.evaluate.student import quantile
from thalweg.parts.augmentations import Augmentation, Compose
from thalweg.saved import outputs_of, scores_of

if TYPE_CHECKING:
    from thalweg.run import Run

Parts = Augmentation | Sequence[Augmentation] | None
KINDS = ("binary", "multiclass", "multilabel", "regression")


class Viewed(nn.Module):
    """A whole model that answers by the mean over views of its inputs.

        p(y | x) = (1/K) Σ_k p(y | T_k(x)),   T_0 the identity, T_k the draw of epoch k, the same for all rows

    Probabilities are averaged and given back as logits of the mean, so that what reads the model's outputs reads these;
    of a regression, and of a model that gives probabilities, the outputs themselves are averaged.

    Args:
        model: the run's, preprocessing included.
        augmenter: what makes the views.
        count: K, the row as it is among them.
        task: what the model answers.
        loss_name: what its outputs were trained by; None for a loss of the user's own.
    """

    def __init__(self, model: nn.Module, augmenter: Augmenter, count: int, task: Task, loss_name: str | None) -> None:
        super().__init__()
        self.model, self.augmenter, self.count, self.task, self.loss_name = model, augmenter, count, task, loss_name

    def forward(self, *args: Tensor, **named: Tensor) -> Tensor:
        inputs: Inputs = named if named else args[0] if len(args) == 1 else args
        total = self.answer(inputs)
        same = torch.zeros(len(tensors_of(inputs)[0]), dtype=torch.long)  # all rows under the same draw
        for view in range(1, self.count):
            changed, _ = self.augmenter.before(inputs, same, same, epoch=view, seed=0)
            total = total + self.answer(changed)
        mean = total / self.count
        if self.scores == "values":
            return mean
        return mean.log() if self.scores == "classes" else mean.logit()

    def answer(self, inputs: Inputs) -> Tensor:
        """Probabilities where the outputs are logits, in double precision; else the outputs."""
        output = call(self.model, inputs)
        if not isinstance(output, Tensor):
            raise UsageError(f"Views are of a model that gives one tensor; this one gives a {type(output).__name__}.")
        wide = output.double() if output.device.type == "cpu" else output
        labels = self.task.kind == "multilabel"
        logits = self.task.kind != "regression" and scores_of(self.loss_name, output, labels=labels) == "logits"
        several = output.dim() > 1 and output.shape[1] > 1 and not labels
        self.scores = "values" if not logits else "classes" if several else "labels"
        if not logits:
            return wide
        return wide.softmax(1) if several else wide.sigmoid()


def viewed(run: "Run", x: Any, views: int, parts: Parts = None) -> nn.Module:
    """The run's model under `views` views of its inputs; the model itself for one.

    Args:
        run: the run.
        x: some inputs, as tensors, whose form tells what the parts act on.
        views: how many, the row as it is among them.
        parts: what makes them; by default what the run was trained under.

    Raises:
        UsageError: for a number below 1, a run that was trained without augmentation where no parts are given, parts
            that mix rows, or a task whose answers have places in the row.
    """
    if not isinstance(views, int) or isinstance(views, bool) or views < 1:
        raise UsageError(f"views got {views!r}; allowed: an integer of at least 1, where 1 is the row as it is.")
    if views == 1:
        return run.model
    task = Task.from_json(run.store.get("task"))
    if task.kind not in KINDS:
        raise UsageError(f"Views of a {task.kind} task are not averaged: the answers move with the pixels.")
    chosen: Any = run.plan.augmentation if parts is None else parts
    if chosen is None or isinstance(chosen, str):
        raise UsageError(
            f"{run.name} was trained without augmentation. Say what makes the views: "
            "augmentation=tw.augmentations.HorizontalFlip(p=1), for example."
        )
    whole = Compose(*chosen) if isinstance(chosen, list | tuple) else Compose(chosen)
    early, late = parted(whole)
    if early is None or (parts is not None and late is not None):
        raise UsageError("Views are of one row: parts that mix rows, or act on prepared tables, make none.")
    stored = run.store.get("augmentation") or {}
    places = fitting(x, early.kind)
    augmenter = Augmenter(early, None, places, stored.get("peak") or brightest(x, places) or 1.0, whole=True)
    return Viewed(run.model, augmenter, views, task, run.store.get("loss"))


def gain_of(run: "Run", model: Viewed, rows: AnyRows, averaged: tuple[Any, Tensor]) -> Gain:
    """What the views bring on rows, measure by measure, paired row by row; `averaged` are their outputs and targets."""
    plain, _ = outputs_of(run.model, rows)
    measured = row_measures(model.task, model.loss_name, plain, *averaged)
    found = [paired(name, other - one, rows.groups) for name, one, other in measured]
    return Gain(model.count, str(model.augmenter.early), tuple(found))


def row_measures(
    task: Task, loss_name: str | None, plain: Tensor, averaged: Tensor, target: Tensor
) -> list[tuple[str, Tensor, Tensor]]:
    """Of each measure its values `[N]` for either outputs."""
    if task.kind == "regression":
        one, other = (squared_errors(output, target) for output in (plain, averaged))
        return [("mse", one, other)]
    logs = [log_probabilities(task, loss_name, o) for o in (plain, averaged)]
    if task.kind == "multilabel":
        losses = [F.binary_cross_entropy(p.exp(), target.double(), reduction="none").mean(1) for p in logs]
        right = [((p > math.log(0.5)) == (target > 0.5)).double().mean(1) for p in logs]
    else:
        index = target.long()
        losses = [F.nll_loss(p, index, reduction="none") for p in logs]
        right = [(p.argmax(1) == index).double() for p in logs]
    return [("accuracy", right[0], right[1]), ("log_loss", losses[0], losses[1])]


def squared_errors(output: Tensor, target: Tensor) -> Tensor:
    """`[N]`, the mean over the targets of a row."""
    return (output.double().reshape(target.shape) - target).square().reshape(len(target), -1).mean(1)


def log_probabilities(task: Task, loss_name: str | None, output: Tensor) -> Tensor:
    """`[N, classes]`; of labels `[N, T]`."""
    labels = task.kind == "multilabel"
    share = scores_of(loss_name, output, labels=labels) == "probabilities"
    wide = output.double()
    if labels:
        return wide.clamp_min(1e-300).log() if share else F.logsigmoid(wide)
    if output.dim() > 1 and output.shape[1] > 1:
        return wide.clamp_min(1e-300).log() if share else wide.log_softmax(1)
    one = wide.reshape(-1)
    positive, negative = (one.log(), (1 - one).log()) if share else (F.logsigmoid(one), F.logsigmoid(-one))
    return torch.stack([negative, positive], 1)


def paired(name: str, differences: Tensor, groups: Tensor | None) -> Measure:
    """The mean difference with Student's 95 % interval, over groups where rows have them."""
    values, count = differences.double(), len(differences)
    mean = float(values.mean())
    units = values - mean
    if groups is not None:
        _, codes = groups.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        units = torch.zeros(int(codes.max()) + 1, dtype=torch.float64).index_add_(0, codes, units)
    if len(units) < 2:
        return Measure(name, mean, count=count)
    error = math.sqrt(float(units.square().sum()) * len(units) / (len(units) - 1)) / count
    half = quantile(0.975, len(units) - 1) * error
    return Measure(name, mean, mean - half, mean + half, "Student's t, paired over the rows", count)

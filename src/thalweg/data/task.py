"""What is to be predicted: the kind of task, its classes, and the target in the form that the loss takes.

`Task` is plain data and needs no torch: rules and reports read it too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from thalweg.errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.data.targets import Target

Kind = Literal["binary", "multiclass", "multilabel", "per_position", "regression", "own"]
Encoding = Literal["index", "zero-one", "number", "as given"]
Label = str | int | float | bool
KINDS: tuple[Kind, ...] = get_args(Kind)
CLASSES: tuple[Kind, ...] = ("binary", "multiclass")
LOSS_KINDS: dict[str, tuple[Kind, ...]] = {
    "cross_entropy": (*CLASSES, "per_position"),
    "nll": (*CLASSES, "per_position"),
    "binary_cross_entropy": ("binary", "multilabel"),
    "mse": ("regression",),
    "mae": ("regression",),
    "huber": ("regression",),
}


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be predicted.

    Args:
        kind: `"binary"` (two classes), `"multiclass"`, `"multilabel"` (any number of labels per row), `"per_position"`
            (a class for each token or pixel of a row) or `"regression"`.
        classes: the labels in the order of the class indices, sorted; the second one is the positive class of a binary
            task. Of a multi-label task the labels in the order of its columns. Empty for a regression, and per
            position, where indices are classes.
        num_outputs: how many outputs the network needs: one per class or label, one for `"binary_cross_entropy"` on two
            classes, one per target column of a regression. It is only the most likely number for a loss of the user's
            own, and the least for classes per position, where a vocabulary may be larger than what occurs.
        encoding: what `encode_target` makes: `"index"` int64 class indices, `"zero-one"` floats 0 and 1, `"number"`
            floats, `"as given"` the tensor unchanged, for a loss of the user's own.
        targets: names of the target columns of a regression, where they have any.
        column: whether the target was given as a column `[N, 1]`, of which `encode_target` makes `[N]`.

    >>> Task("binary", ("no", "yes"), 2).classes[1]
    'yes'
    """

    kind: Kind
    classes: tuple[Label, ...]
    num_outputs: int
    encoding: Encoding = "index"
    targets: tuple[Label, ...] = ()
    column: bool = False

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "classes": list(self.classes), "targets": list(self.targets)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Task":
        return cls(**{**data, "classes": tuple(data["classes"]), "targets": tuple(data.get("targets", ()))})


OWN = Task("own", (), 1, "as given")  # what a step of the user's own makes of batches without a target


def infer_task(
    target: "Target", *, loss_name: str | None, task: str | None = None, names: Sequence[Label] = ()
) -> Task:
    """The task that a target and a loss make.

    | loss | target | task |
    |---|---|---|
    | `"cross_entropy"`, `"nll"` | integers, text, booleans | multiclass; for two classes binary with two outputs |
    | | integers `[N, L]`, `[N, H, W]`; -100 is ignored | per_position |
    | `"binary_cross_entropy"` (on logits) | the same, or floats 0 and 1; two values | binary with one output |
    | | 0 and 1 `[N, T]`, or a list of label sets | multilabel with T outputs |
    | `"mse"`, `"mae"`, `"huber"` | numbers `[N]` or `[N, T]` | regression with T outputs |
    | None: the user's own | text, integers, booleans, floats 0 and 1 | binary or multiclass |
    | | 0 and 1 `[N, T]`, label sets | multilabel |
    | | other integers `[N, L]` | per_position |
    | | other floats, or one value only | regression |

    Integer labels that are 0..K-1 stay; others are numbered in their order, and `classes` keeps them.

    Args:
        target: what `to_target` made of the training data, before any split.
        loss_name: the loss, or None for a callable of the user's own.
        task: `"binary"`, `"multiclass"`, `"multilabel"`, `"per_position"` or `"regression"` where the user says so;
            floats that are whole numbers are then taken as classes.
        names: of the target's columns, where they have any: labels of a multi-label task, targets of a regression.

    Raises:
        UsageError: for an unknown loss or task, or a task that the loss cannot serve.
        DataError: where target and loss contradict each other: floats under cross-entropy, three classes under binary
            cross-entropy, one class only, negative or missing labels. The message names the rows and what to do.

    >>> import torch
    >>> found = infer_task(torch.tensor([0, 2, 1]), loss_name="cross_entropy")
    >>> found.kind, found.classes, found.num_outputs
    ('multiclass', (0, 1, 2), 3)
    >>> infer_task(torch.tensor([0.5, 2.5]), loss_name="mse").kind
    'regression'
    """
    from thalweg.data.checks import check_target
    from thalweg.data.labels import multilabel_task, per_position_task, wide_kind

    check_words(loss_name, task)
    check_target(target)
    wide = wide_kind(target, loss_name, task)
    if wide == "multilabel":
        return multilabel_task(target, loss_name, names)
    if wide == "per_position":
        return per_position_task(target, loss_name)
    if loss_name is None:
        return own_loss_task(target, task, names)
    found = named_loss_task(target, loss_name, task, names)
    return replace(found, column=target.ndim == 2 and target.shape[1] == 1)


def named_loss_task(target: "Target", loss_name: str, task: str | None, names: Sequence[Label]) -> Task:
    """The task of a named loss with one answer per row."""
    if LOSS_KINDS[loss_name] == ("regression",):
        return regression_task(target, loss_name, names)
    target = class_column(target, loss_name, task)
    classes = find_classes(target)
    if len(classes) < 2:
        raise DataError(
            f"The target has one class only, {classes[0]!r} in all {len(target):,} rows; there is nothing to learn. "
            "Add rows of another class, or check that the right column was taken."
        )
    check_negative(target, classes)
    kind = class_kind(classes, task, loss_name)
    if loss_name == "binary_cross_entropy":
        return Task(kind, classes, 1, "zero-one")
    return Task(kind, classes, len(classes), "index")


def check_words(loss_name: str | None, task: str | None) -> None:
    if loss_name is not None and loss_name not in LOSS_KINDS:
        names = tuple(LOSS_KINDS)
        raise UsageError(
            f"There is no loss {loss_name!r}.{did_you_mean(loss_name, names)} "
            f"Allowed: {', '.join(names)}, or a callable (output, target) -> scalar."
        )
    if task is None:
        return
    if task not in KINDS:
        raise UsageError(f"There is no task {task!r}.{did_you_mean(task, KINDS)} Allowed: {', '.join(KINDS)}.")
    if loss_name is not None and task not in LOSS_KINDS[loss_name]:
        fitting = [name for name, kinds in LOSS_KINDS.items() if task in kinds]
        raise UsageError(
            f"The loss {loss_name!r} does not serve task={task!r}. Take one of {', '.join(fitting)}, "
            "or pass a loss of your own, a callable (output, target) -> scalar."
        )


def regression_task(target: "Target", loss_name: str, names: Sequence[Label]) -> Task:
    import torch

    if not isinstance(target, torch.Tensor):
        raise DataError(
            f"The target holds labels such as {target[0]!r}, and the loss {loss_name!r} needs numbers. "
            "For classes take loss='cross_entropy'."
        )
    if target.dim() > 2 or target.is_complex():
        raise DataError(
            f"The loss {loss_name!r} takes a target of real numbers of shape [N] or [N, T]; received "
            f"{list(target.shape)} ({target.dtype}). Flatten it, or pass a loss of your own."
        )
    return Task("regression", (), target.shape[1] if target.dim() == 2 else 1, "number", tuple(names))


def class_column(target: "Target", loss_name: str, task: str | None) -> "Target":
    """The target as one column of labels, or the error that says why it is none."""
    import torch

    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    if target.ndim != 1:
        one_hot = "One-hot rows become labels by y.argmax(1). " if target.ndim == 2 else ""
        raise DataError(
            f"The loss {loss_name!r} takes one label per row, a target of shape [N]; received {list(target.shape)}. "
            f"{one_hot}For several labels per row, 0 and 1 in [N, T], take loss='binary_cross_entropy'; for a class "
            "per position of [N, L] take integers, loss='cross_entropy' and task='per_position'."
        )
    if not isinstance(target, torch.Tensor) or not target.is_floating_point():
        return target
    whole = bool((target == target.round()).all())
    zero_one = loss_name == "binary_cross_entropy" and whole and set(find_classes(target)) <= {0.0, 1.0}
    if zero_one or (whole and task is not None):
        return target
    hint = "They are whole numbers: if they are classes, pass y.long(), or task='multiclass'. " if whole else ""
    raise DataError(
        f"The target holds floats such as {float(target[0]):g}, and the loss {loss_name!r} needs classes: integers, "
        f"text or booleans. {hint}To predict a number take loss='mse', 'mae' or 'huber'."
    )


def find_classes(target: "Target") -> tuple[Label, ...]:
    """The distinct labels, sorted."""
    import torch

    if isinstance(target, torch.Tensor):
        return tuple(torch.unique(target).tolist())
    try:
        return tuple(sorted(set(target.tolist())))
    except TypeError as error:
        raise DataError(f"The target mixes text and numbers ({error}); make all labels text.") from error


def check_negative(target: "Target", classes: tuple[Label, ...]) -> None:
    import torch

    from thalweg.data.arrays import list_rows

    negative = [label for label in classes if not isinstance(label, str) and label < 0]
    if not isinstance(target, torch.Tensor) or not negative or set(classes) == {-1, 1}:  # the coding of margin losses
        return
    rows = (target < 0).nonzero()[:, 0]
    raise DataError(
        f"The target has negative labels ({', '.join(map(str, negative[:3]))}) in {list_rows(rows)} (counted from 0). "
        "If they mark rows without a label, leave these rows out; if they are classes, add a constant so that the "
        "smallest is 0, or pass text."
    )


def class_kind(classes: tuple[Label, ...], task: str | None, loss_name: str | None) -> Kind:
    """`"binary"` for two classes; the user's word is heard where it fits."""
    binary = task == "binary" or loss_name == "binary_cross_entropy"
    if binary and len(classes) != 2:
        shown = ", ".join(map(repr, classes[:5])) + (", ..." if len(classes) > 5 else "")
        why = f"The loss {loss_name!r}" if loss_name == "binary_cross_entropy" else "task='binary'"
        raise DataError(
            f"{why} needs two classes; the target has {len(classes)}: {shown}. "
            "Take loss='cross_entropy' with one output per class, or join classes until two remain."
        )
    return "multiclass" if task == "multiclass" or len(classes) > 2 else "binary"


def own_loss_task(target: "Target", task: str | None, names: Sequence[Label]) -> Task:
    """The task for a loss of the user's own, whose target stays as it is unless it is text."""
    import torch

    if not isinstance(target, torch.Tensor):
        classes = find_classes(target)
        return Task(class_kind(classes, task, None), classes, len(classes), "index")
    floats = target.is_floating_point() or target.is_complex()
    flat = target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1)
    classes = find_classes(target) if flat or not floats else ()
    labeled = task in CLASSES or (len(classes) > 1 and (not floats or set(classes) == {0.0, 1.0}))
    if task == "regression" or not labeled:
        return Task("regression", (), target.shape[1] if target.ndim == 2 else 1, "as given", tuple(names))
    classes = fill_gaps(classes, target.numel()) if not floats and target.dtype != torch.bool else classes
    kind = class_kind(classes, task, None)
    return Task(kind, classes, 1 if floats and kind == "binary" else len(classes), "as given")


def fill_gaps(classes: tuple[Any, ...], num_labels: int) -> tuple[Any, ...]:
    """0..K-1 where labels that stay as given may index the outputs, so that a class without rows keeps its place."""
    return tuple(range(classes[-1] + 1)) if classes[0] >= 0 and classes[-1] < num_labels else classes


def class_indices(target: "Target", task: Task) -> "Tensor":
    """The place of each label in `task.classes`, int64, of the target's shape.

    Raises:
        DataError: for a label that is no class of the task, with its rows.

    >>> import torch
    >>> class_indices(torch.tensor([7, 3, 7]), Task("binary", (3, 7), 2))
    tensor([1, 0, 1])
    """
    import numpy as np
    import torch

    from thalweg.data.arrays import list_rows

    if isinstance(target, torch.Tensor):
        indices, unknown = find_numbers(target, task)
    else:
        places = {label: i for i, label in enumerate(task.classes)}
        indices = torch.from_numpy(np.fromiter((places.get(v, -1) for v in target), dtype=np.int64, count=len(target)))
        unknown = indices < 0
    if unknown.any():
        rows = unknown.nonzero()[:, 0]
        first = target[int(rows[0])]
        label = first.tolist() if isinstance(first, torch.Tensor) else first
        shown = ", ".join(map(repr, task.classes[:10])) + (", ..." if len(task.classes) > 10 else "")
        raise DataError(
            f"The label {label!r} in {list_rows(rows)} (counted from 0) is none of the training data's "
            f"classes ({shown}). Leave these rows out, or add rows of that class to the training data."
        )
    return indices


def class_codes(target: "Target", task: Task) -> "Tensor | None":
    """The class index of each row, `[N]`; None for a regression, and where a row has several labels."""
    if task.kind not in CLASSES:
        return None
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    return class_indices(target, task) if task.classes and target.ndim == 1 else None


def find_numbers(target: "Tensor", task: Task) -> "tuple[Tensor, Tensor]":
    """The place of each numeric label in the classes, and where there is none."""
    import torch

    if any(isinstance(label, str) for label in task.classes):
        return torch.zeros_like(target, dtype=torch.int64), torch.ones_like(target, dtype=torch.bool)
    whole = not target.is_floating_point() and not any(isinstance(label, float) for label in task.classes)
    values = target.to(torch.int64 if whole else torch.float64)
    classes = torch.tensor(task.classes, dtype=values.dtype, device=target.device)
    indices = torch.searchsorted(classes, values.contiguous()).clamp(max=len(classes) - 1)
    return indices, classes[indices] != values


def encode_target(target: "Target", task: Task) -> "Tensor":
    """The target as the loss takes it.

    A column `[N, 1]` becomes `[N]`, except for a loss of the user's own, which gets the tensor as it was given.

    Raises:
        DataError: for missing values, and labels that are no class of the task.

    >>> import numpy as np
    >>> encode_target(np.array(["no", "yes"], dtype=object), Task("binary", ("no", "yes"), 1, "zero-one"))
    tensor([0., 1.])
    """
    import torch

    from thalweg.data.checks import check_target
    from thalweg.data.labels import encode_labels, encode_positions

    check_target(target)
    if task.kind == "per_position":
        return encode_positions(target, task)
    if task.kind == "multilabel":
        return encode_labels(target, task)
    if task.encoding == "as given" and isinstance(target, torch.Tensor):
        return target
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    if task.encoding == "number" and isinstance(target, torch.Tensor):
        return target if target.is_floating_point() and target.itemsize >= 4 else target.to(torch.float32)
    if task.encoding in ("number", "as given"):
        raise DataError(f"The target holds labels such as {target[0]!r}; numbers are needed, as in the training data.")
    indices = class_indices(target, task)
    return indices.to(torch.float32) if task.encoding == "zero-one" else indices

"""What a collate function or a loader gave, as inputs and target: brought into form, or refused with what was wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from thalweg.data.arrays import CONVERTED
from thalweg.data.rows import Batch, Inputs, StepFunction, is_pair, rows_in, tensors_of
from thalweg.data.targets import to_target
from thalweg.data.task import Task, encode_target
from thalweg.errors import DataError, UsageError

PAIRS = (
    "Give pairs (inputs, target): inputs a tensor, or a tuple or dict of tensors with a row in dimension 0 for each "
    "target; or pass step=(model, batch) -> loss, which takes batches of any form."
)


def as_batch(
    value: Any, *, task: Task | None, step: StepFunction | None, what: str, rows: int | None = None
) -> tuple[Inputs, Tensor]:
    """A batch as the user's code gave it, as `(inputs, target)`.

    With a `step`, a pair of plain inputs and a tensor stays a pair, which the feeder wraps; anything else becomes a
    `Batch`, whose target is zeros `[rows]`.

    Args:
        value: the batch.
        task: brings the target into the form that the loss takes; None leaves it.
        step: the user's own.
        what: what an error calls the batch.
        rows: how many it has; None where only its tensors tell.

    Raises:
        DataError: for a form that the training cannot take, or labels that the training data lack.
    """
    if step is not None and not (is_pair(value) and is_plain(value[0]) and is_target(value[1])):
        rows = rows_in(value) if rows is None else rows
        return Batch(value, step, rows), torch.zeros(rows)
    if not is_pair(value):
        raise DataError(f"{what} is {describe(value)}. {PAIRS}")
    inputs = plain_inputs(value[0], what)
    try:
        target = to_target(value[1])
        target = target if task is None else encode_target(target, task)
    except (DataError, UsageError) as error:
        raise DataError(f"{what}: {error}") from error
    if not isinstance(target, Tensor):
        raise DataError(
            f"{what} has labels of text. Number the classes 0, 1, ... in the Dataset or the collate function."
        )
    if task is not None and task.encoding in ("number", "zero-one"):
        double = any(value.dtype is torch.float64 for value in tensors_of(inputs))
        target = target.to(torch.float64 if double else torch.float32)
    for tensor in tensors_of(inputs) if step is None else ():
        if not tensor.dim() or len(tensor) != len(target):
            raise DataError(
                f"{what} has {len(target):,} targets and a tensor of shape {list(tensor.shape)}; dimension 0 must "
                "count the rows in each. Other layouts go through step=(model, batch) -> loss."
            )
    return inputs, target


def is_plain(value: Any) -> bool:
    """Whether a value is a tensor, or a tuple, list or dict of tensors."""
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(item, Tensor) for item in value.values())
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return bool(value) and all(isinstance(item, Tensor) for item in value)
    return isinstance(value, Tensor)


def is_target(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and not value.is_complex()


def plain_inputs(value: Any, what: str) -> Inputs:
    if not is_plain(value):
        raise DataError(f"The inputs of {what[0].lower()}{what[1:]} are {describe(value)}. {PAIRS}")
    if isinstance(value, Tensor):
        return value
    return dict(value) if isinstance(value, Mapping) else tuple(value)


def describe(value: Any) -> str:
    """What a value is, in a few words: `"a tuple of 3"`, `"a dict of 'ids', 'labels'"`, `"a float32 tensor [4, 2]"`."""
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor {list(value.shape)}"
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(repr, list(value)[:6])) or 'nothing'}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def structure(value: Any) -> Any:
    """What must be alike in all batches: the nesting, the names, the types and numbers of dimensions of the tensors."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of {value.dim()} dimensions"
    if isinstance(value, Mapping):
        return {name: structure(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [structure(item) for item in value] if any(map(holds_tensors, value)) else type(value).__name__
    return type(value).__name__


def holds_tensors(value: Any) -> bool:
    return isinstance(value, Tensor | Mapping | tuple | list)


def collate_plain(items: Sequence[Any]) -> Any:
    """torch's default, but NumPy's float64 and Python's floats become float32, as for whole arrays."""
    return default_collate([single(item) for item in items])


def single(item: Any) -> Any:
    """An item whose numbers of double precision are of single precision; tensors keep their dtype."""
    if isinstance(item, np.ndarray | np.generic) and item.dtype.kind in "biufc":
        array = np.asarray(item)
        return torch.from_numpy(np.array(array, dtype=CONVERTED.get(array.dtype.name, array.dtype)))
    if isinstance(item, float):
        return torch.tensor(item)
    if isinstance(item, Mapping):
        return {name: single(value) for name, value in item.items()}
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return type(item)(*(single(value) for value in item))
    if isinstance(item, tuple | list):
        return type(item)(single(value) for value in item)
    return item

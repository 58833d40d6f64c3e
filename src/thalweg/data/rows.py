"""Rows: inputs and targets of one part of the data, in the few forms that the rest of the house knows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from thalweg.errors import TrainingError

Part = Literal["train", "validation", "test"]
StepFunction = Callable[..., Any]  # (model, batch) -> loss, or (loss, output, target)


@dataclass(frozen=True, eq=False)
class Batch:
    """A whole batch for a model that the user's `step(model, batch)` calls; it may hold the targets too.

    Args:
        value: tensors in any nesting of dicts, tuples and lists; other leaves are passed on as they are.
        step: `(model, batch) -> loss` or `(loss, output, target)`.
    """

    value: Any
    step: StepFunction


class StepOutput(NamedTuple):
    """What the user's `step` made of a batch; output and target are None where it gave the loss alone."""

    loss: Tensor
    output: Any = None
    target: Tensor | None = None


Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor] | Batch


def map_tree(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """`function` on each tensor in a nesting of dicts, tuples and lists."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {name: map_tree(function, item) for name, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tree(function, item) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(map_tree(function, item) for item in value)
    return value


def leaves(value: Any) -> Iterator[Tensor]:
    """The tensors in a nesting of dicts, tuples and lists, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | tuple | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from leaves(item)


def map_inputs(function: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    """`function` on each tensor of the inputs."""
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, Batch):
        return Batch(map_tree(function, inputs.value), inputs.step)
    if isinstance(inputs, dict):
        return {name: function(value) for name, value in inputs.items()}
    return tuple(function(value) for value in inputs)


def tensors_of(inputs: Inputs) -> tuple[Tensor, ...]:
    """The tensors of the inputs, in order."""
    if isinstance(inputs, Tensor):
        return (inputs,)
    if isinstance(inputs, Batch):
        return tuple(leaves(inputs.value))
    return tuple(inputs.values()) if isinstance(inputs, dict) else inputs


def num_rows(inputs: Inputs) -> int:
    return len(tensors_of(inputs)[0])


def take(inputs: Inputs, rows: Tensor) -> Inputs:
    """The given rows of each tensor, copied."""
    return map_inputs(lambda value: value.index_select(0, rows.to(value.device)), inputs)


def call(model: Callable[..., object], inputs: Inputs) -> object:
    """`model(x)`, `model(*tuple)`, `model(**dict)` or the user's `step(model, batch)`, as the inputs' form asks."""
    if isinstance(inputs, Tensor):
        return model(inputs)
    if isinstance(inputs, Batch):
        return step_output(inputs.step(model, inputs.value))
    return model(**inputs) if isinstance(inputs, dict) else model(*inputs)


def step_output(returned: Any) -> StepOutput:
    """What a `step` returned, in one form. Raises `TrainingError` for anything but a loss or a triple."""
    if isinstance(returned, Tensor):
        return StepOutput(returned)
    if isinstance(returned, tuple | list) and len(returned) == 3 and isinstance(returned[0], Tensor):
        return StepOutput(*returned)
    size = f" of {len(returned)}" if isinstance(returned, tuple | list | dict) else ""
    raise TrainingError(
        f"step(model, batch) returned {type(returned).__name__}{size}; return the loss, a scalar tensor, or "
        "(loss, output, target), so that metrics can be measured too."
    )


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows that are resident in memory.

    Args:
        inputs: tensors with the rows in dimension 0.
        target: `[N]` class indices (int64), or `[N]` or `[N, T]` floats.
        ids: `[N]` int64, the row numbers in the data as the user gave them.
        part: which part of the split these rows are; whatever is fitted takes `"train"` only.
        weights: `[N]` float32, how much each row counts in the loss; None where all count alike.
    """

    inputs: Inputs
    target: Tensor
    ids: Tensor
    part: Part
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class DatasetRows:
    """Rows of a map-style Dataset, read item by item. `target` holds the targets of these rows, read once."""

    dataset: Dataset[tuple[object, object]]
    target: Tensor
    ids: Tensor
    part: Part

    def __len__(self) -> int:
        return len(self.ids)


AnyRows = Rows | DatasetRows


def head(rows: AnyRows, count: int) -> Rows:
    """The first `count` rows as resident rows; a Dataset is read for them."""
    count = min(count, len(rows))
    if isinstance(rows, Rows):
        return Rows(map_inputs(lambda v: v[:count], rows.inputs), rows.target[:count], rows.ids[:count], rows.part)
    return read(rows, torch.arange(count))


def spread(rows: AnyRows, count: int) -> Rows:
    """`count` rows evenly spaced through all of them, so that data in the order of their classes show every class."""
    return read(rows, torch.linspace(0, len(rows) - 1, min(count, len(rows))).long())


def read(rows: AnyRows, positions: Tensor) -> Rows:
    """The rows at `positions` as resident rows; a Dataset is read for them."""
    if isinstance(rows, Rows):
        return Rows(take(rows.inputs, positions), rows.target[positions], rows.ids[positions], rows.part)
    from torch.utils.data import default_collate

    items = [rows.dataset[int(i)][0] for i in rows.ids[positions]]
    collated = default_collate(items)
    inputs: Inputs = tuple(collated) if isinstance(collated, list) else collated
    return Rows(inputs, rows.target[positions], rows.ids[positions], rows.part)

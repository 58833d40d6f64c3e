"""Rows: inputs and targets of one part of the data, in the few forms that the rest of the house knows."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import mode
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from thalweg.data.task import Task
from thalweg.errors import TrainingError

Part = Literal["train", "validation", "test"]
StepFunction = Callable[..., Any]  # (model, batch) -> loss, or (loss, output, target)
Collate = Callable[[list[Any]], Any]  # items -> batch


@dataclass(frozen=True, eq=False)
class Batch:
    """A whole batch for a model that the user's `step(model, batch)` calls; it may hold the targets too.

    Args:
        value: tensors in any nesting of dicts, tuples and lists; other leaves are passed on as they are.
        step: `(model, batch) -> loss` or `(loss, output, target)`.
        rows: how many rows it has, where that is known; else it is read from its tensors.
    """

    value: Any
    step: StepFunction
    rows: int | None = None


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
        return Batch(map_tree(function, inputs.value), inputs.step, inputs.rows)
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


def is_pair(value: Any) -> bool:
    """Whether a value is an (x, y): a tuple or list of two, not one with names."""
    return isinstance(value, tuple | list) and len(value) == 2 and not hasattr(value, "_fields")


def rows_in(value: Any) -> int:
    """The rows of a batch of any form: of a pair those of its target, else of its first tensor."""
    parts = value[::-1] if is_pair(value) else value
    return next((len(tensor) for tensor in leaves(parts) if tensor.dim()), 1)


def num_rows(inputs: Inputs) -> int:
    if isinstance(inputs, Batch):
        return rows_in(inputs.value) if inputs.rows is None else inputs.rows
    return len(tensors_of(inputs)[0])


def is_divisible(inputs: Inputs) -> bool:
    """Whether rows can be taken out: always, but for a `Batch` with a tensor whose dimension 0 does not count rows."""
    count = num_rows(inputs)
    return not isinstance(inputs, Batch) or all(v.dim() and len(v) == count for v in leaves(inputs.value))


def take(inputs: Inputs, rows: Tensor) -> Inputs:
    """The given rows of each tensor, copied; of a `Batch`, which must be divisible, also those of lists of text."""
    if isinstance(inputs, Batch):
        return Batch(take_value(inputs.value, rows, num_rows(inputs)), inputs.step, len(rows))
    return map_inputs(lambda value: value.index_select(0, rows.to(value.device)), inputs)


def take_value(value: Any, rows: Tensor, count: int) -> Any:
    if isinstance(value, list) and len(value) == count and not any(True for _ in leaves(value)):
        return [value[row] for row in rows.tolist()]
    if isinstance(value, Mapping):
        return {name: take_value(item, rows, count) for name, item in value.items()}
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return type(value)(take_value(item, rows, count) for item in value)
    return map_tree(lambda tensor: tensor.index_select(0, rows.to(tensor.device)), value)


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
        step: the user's own, which then gets each batch as `(inputs, target)`.
        groups: `[N]` codes of the groups that the rows were split by; None where they were not.
    """

    inputs: Inputs
    target: Tensor
    ids: Tensor
    part: Part
    weights: Tensor | None = None
    step: StepFunction | None = None
    groups: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)


class Items(Protocol):
    """What items are read from by number: a map-style Dataset, a list, a dict."""

    def __getitem__(self, row: int, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class DatasetRows:
    """Rows of a map-style Dataset, read item by item.

    Args:
        dataset: gives an item by the number of its row.
        target: the targets of these rows, read once; zeros `[N]` where an item has none by itself.
        ids: `[N]` int64, the row numbers in the Dataset.
        part: which part of the split these rows are.
        weights: `[N]` float32, how much each row counts in the loss; None where all count alike.
        collate: a list of items -> a batch; None where items are pairs `(x, y)` of which all x have the same shape.
        step: the user's own, which then gets each batch.
        task: brings the target of a collated batch into the form that the loss takes.
        groups: `[N]` codes of the groups that the rows were split by; None where they were not.
    """

    dataset: Items
    target: Tensor
    ids: Tensor
    part: Part
    weights: Tensor | None = None
    collate: Collate | None = None
    step: StepFunction | None = None
    task: Task | None = None
    groups: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class StreamRows:
    """Rows of an IterableDataset, which come in its own order only.

    Args:
        dataset: gives all items anew each time it is iterated.
        target: the targets in the order of one pass; zeros `[N]` where an item has none by itself.
        sample: items from the whole length of one pass, kept in memory, with `collate`, `step` and `task`.
        item_seconds: time that reading one item took.
    """

    dataset: Iterable[Any]
    target: Tensor
    sample: DatasetRows
    item_seconds: float = 0.0
    weights: None = None
    groups: None = None

    @property
    def part(self) -> Part:
        return self.sample.part

    @property
    def step(self) -> StepFunction | None:
        return self.sample.step

    @property
    def ids(self) -> Tensor:
        return torch.arange(len(self.target))

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, eq=False)
class BatchRows:
    """Rows that come in whole batches: from a DataLoader of the user's own, or a few of its batches in memory.

    Args:
        batches: the loader, or a list of batches as a loader gives them, which may be fed in another order.
        sizes: rows of each batch of a pass; of a loader that was not passed over whole, as far as they are known.
        target: the targets in the order of one pass; zeros `[N]` where the batches have none by themselves.
        part: which part of the data these rows are.
        step: the user's own, which then gets each batch.
        task: brings a batch's target into the form that the loss takes.
        sample: batches from the whole length of one pass; of batches in memory themselves.
        inexact: why an epoch of the loader cannot be repeated exactly, and hence not a resumed training; empty where
            nothing speaks against it.
    """

    batches: Iterable[Any]
    sizes: tuple[int, ...]
    target: Tensor
    part: Part
    step: StepFunction | None = None
    task: Task | None = None
    sample: tuple[Any, ...] = ()
    inexact: str = ""
    weights: None = None
    groups: None = None

    @property
    def exact(self) -> bool:
        """Whether an epoch can be repeated bit by bit, as far as can be told."""
        return not self.inexact

    @property
    def batch_size(self) -> int:
        """The size that most batches have."""
        return mode(self.sizes)

    @property
    def ids(self) -> Tensor:
        return torch.arange(len(self.target))

    def __len__(self) -> int:
        return len(self.target)


AnyRows = Rows | DatasetRows | StreamRows | BatchRows

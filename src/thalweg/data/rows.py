"""Rows: inputs and targets of one part of the data, in the few forms that the rest of the house knows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
Part = Literal["train", "validation", "test"]


def map_inputs(function: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    """`function` on each tensor of the inputs."""
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, dict):
        return {name: function(value) for name, value in inputs.items()}
    return tuple(function(value) for value in inputs)


def tensors_of(inputs: Inputs) -> tuple[Tensor, ...]:
    """The tensors of the inputs, in order."""
    if isinstance(inputs, Tensor):
        return (inputs,)
    return tuple(inputs.values()) if isinstance(inputs, dict) else inputs


def num_rows(inputs: Inputs) -> int:
    return len(tensors_of(inputs)[0])


def take(inputs: Inputs, rows: Tensor) -> Inputs:
    """The given rows of each tensor, copied."""
    return map_inputs(lambda value: value.index_select(0, rows.to(value.device)), inputs)


def call(model: Callable[..., object], inputs: Inputs) -> object:
    """`model(x)`, `model(*tuple)` or `model(**dict)`, as the inputs' form asks."""
    if isinstance(inputs, Tensor):
        return model(inputs)
    return model(**inputs) if isinstance(inputs, dict) else model(*inputs)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows that are resident in memory.

    Args:
        inputs: tensors with the rows in dimension 0.
        target: `[N]` class indices (int64), or `[N]` or `[N, T]` floats.
        ids: `[N]` int64, the row numbers in the data as the user gave them.
        part: which part of the split these rows are; whatever is fitted takes `"train"` only.
    """

    inputs: Inputs
    target: Tensor
    ids: Tensor
    part: Part

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

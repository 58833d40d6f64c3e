"""Map-style Datasets: their targets, and a view that gives out only the rows of one part."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from thalweg.data.arrays import from_numpy
from thalweg.data.targets import Target, to_target
from thalweg.errors import DataError, UsageError

SMALL_TARGET = 256  # numbers: a larger second part of a pair is no target to keep


def resident_tensors(dataset: object) -> tuple[Tensor, ...] | None:
    """The tensors of a `TensorDataset`, or of a `Subset` of one; None for any other Dataset."""
    if isinstance(dataset, TensorDataset) and type(dataset).__getitem__ is TensorDataset.__getitem__:
        return dataset.tensors
    if type(dataset) is Subset and (tensors := resident_tensors(dataset.dataset)) is not None:
        rows = torch.as_tensor(list(dataset.indices), dtype=torch.int64)
        return tuple(tensor.index_select(0, rows.to(tensor.device)) for tensor in tensors)
    return None


def dataset_targets(dataset: Any) -> Target:
    """The targets of all rows: the Dataset's own `targets` or last of `tensors`, else read row by row.

    A stored attribute is believed only where it has one entry per row, no `target_transform` stands between, and it
    agrees with the first and last row as they are read.

    Raises:
        DataError: where a row cannot be read or is no pair `(x, y)`.
    """
    stored = stored_targets(dataset)
    if stored is not None:
        return stored
    return to_target([read_pair(dataset, row)[1] for row in range(len(dataset))])


def stored_targets(dataset: Any) -> Target | None:
    if type(dataset) is Subset:
        stored = stored_targets(dataset.dataset)
        return None if stored is None else stored[list(dataset.indices)]
    if getattr(dataset, "target_transform", None) is not None:
        return None
    found = getattr(dataset, "targets", None)
    if found is None and isinstance(tensors := getattr(dataset, "tensors", None), tuple | list) and tensors:
        found = tensors[-1]
    try:
        stored = to_target(found)
    except DataError:
        return None
    ends = (0, len(dataset) - 1)
    agrees = len(stored) == len(dataset) and all(same(stored[i], read_pair(dataset, i)[1]) for i in ends)
    return stored if agrees else None


def same(stored: Any, value: Any) -> bool:
    if isinstance(stored, Tensor):
        try:
            value = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError):
            return False
        alike = stored.shape == value.shape and stored.is_floating_point() == value.is_floating_point()
        return alike and bool((stored == value.to(stored.dtype)).all())
    return bool(stored == value)


def read_pair(dataset: Any, row: int) -> tuple[Any, Any]:
    """One row of a Dataset, which must be a pair `(x, y)`."""
    item = read_item(dataset, row)
    if not isinstance(item, tuple | list) or len(item) != 2:
        size = f" of {len(item)}" if isinstance(item, tuple | list | dict) else ""
        raise DataError(
            f"A row of a Dataset must be a pair (x, y); row {row} of the {type(dataset).__name__} is a "
            f"{type(item).__name__}{size}. Wrap it in a Dataset of pairs; x may be a tuple or dict of tensors."
        )
    return item[0], item[1]


def read_item(dataset: Any, row: int) -> Any:
    """One item of a Dataset. Raises `DataError` with its row where it cannot be read."""
    try:
        return dataset[row]
    except Exception as error:
        raise DataError(
            f"Row {row} of the {type(dataset).__name__} cannot be read: {type(error).__name__}: {error}. "
            f"`dataset[{row}]` repeats it; mend this row or leave it out."
        ) from error


def is_small(target: Any) -> bool:
    """Whether the second part of a pair is a target to keep in memory: a number, text, or a few numbers."""
    if isinstance(target, str | int | float | np.generic):
        return True
    return isinstance(target, Tensor | np.ndarray) and math.prod(target.shape) <= SMALL_TARGET


def row_inputs(x: Any, row: int) -> Any:
    """The inputs of one row as tensors; numpy's float64 and Python's floats become float32, as for whole arrays."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, dict):
        return {name: row_inputs(value, row) for name, value in x.items()}
    if isinstance(x, tuple | list):
        return tuple(row_inputs(value, row) for value in x)
    if isinstance(x, np.ndarray | np.generic | int | float):
        return from_numpy(np.asarray(x), f"The x of row {row}")
    raise DataError(
        f"The x of row {row} is a {type(x).__name__}, not a tensor or array. Turn it into one in the Dataset's "
        "__getitem__, or by its transform."
    )


def check_map_style(dataset: object) -> None:
    """Raises `UsageError` for what can only be iterated, or has no length."""
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise UsageError(
            f"A {type(dataset).__name__} can only be iterated, so it cannot be split, shuffled by seed or sealed. Pass "
            "tensors or arrays (x, y), a DataFrame, a path to a CSV file, or a Dataset with __len__ and __getitem__."
        )


class GuardedDataset(Dataset[tuple[object, object]]):
    """A Dataset that gives out the rows of one part and refuses all others (L34); numbers are the Dataset's own.

    >>> guarded = GuardedDataset([(0.0, 1), (2.0, 0), (4.0, 1)], torch.tensor([0, 2]), part="train")
    >>> guarded[2], len(guarded)
    ((tensor(4.), 1), 3)
    >>> guarded[1]
    Traceback (most recent call last):
    thalweg.errors.DataError: Row 1 is not one of the 2 training rows.
    """

    def __init__(self, dataset: Any, rows: Tensor, *, part: str) -> None:
        self._dataset = dataset
        self._allowed = bytearray(len(dataset))  # read 20 times as fast as a tensor's entry
        np.frombuffer(self._allowed, dtype=np.uint8)[rows.numpy()] = 1
        self._part = "training" if part == "train" else part

    def __getitem__(self, row: int) -> Any:
        self._require_own(row)
        x, y = read_pair(self._dataset, row)
        return row_inputs(x, row), y

    def _require_own(self, row: int) -> None:
        if not self._allowed[row]:
            raise DataError(f"Row {row} is not one of the {sum(self._allowed):,} {self._part} rows.")

    def __len__(self) -> int:
        return len(self._allowed)

    def widened(self, other: "GuardedDataset", rows: Tensor) -> "GuardedDataset":
        """A view of the rows that this one and another of the same Dataset give out, to be narrowed to new parts."""
        both = np.frombuffer(self._allowed, dtype=np.uint8) | np.frombuffer(other._allowed, dtype=np.uint8)
        assert self._dataset is other._dataset
        assert both[rows.numpy()].all()
        return type(self)(self._dataset, rows, part="train")

    def narrowed(self, rows: Tensor, *, part: str) -> "GuardedDataset":
        """A view of some of the rows that this one gives out."""
        assert np.frombuffer(self._allowed, dtype=np.uint8)[rows.numpy()].all()
        return type(self)(self._dataset, rows, part=part)


class GuardedItems(GuardedDataset):
    """The same for items of any form, which a collate function takes as they are."""

    def __getitem__(self, row: int) -> Any:
        self._require_own(row)
        return read_item(self._dataset, row)

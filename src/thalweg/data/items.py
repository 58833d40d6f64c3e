"""Batches of a Dataset's items, each item read with randomness that belongs to it."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from thalweg.data.arrays import list_rows
from thalweg.data.batches import as_batch, collate_plain
from thalweg.data.rows import Collate, DatasetRows, Inputs
from thalweg.data.seeds import SAMPLE, mix
from thalweg.data.stored import GuardedArrays, read_blocks
from thalweg.errors import DataError

Fed = tuple[Inputs, Tensor]


def read_batches(rows: DatasetRows, batches: Sequence[Tensor], *, seed: int, epoch: int) -> Iterator[Fed]:
    """The rows at each batch's positions, collated, with their targets; read in this process.

    While an item is read, the global generators of torch, numpy and Python are seeded from seed, epoch and row number:
    an augmentation gives the same picture whatever was read before. Between batches they are as the user left them.

    Raises:
        DataError: naming the row whose item cannot be read, or the rows that cannot be stacked.
    """
    if isinstance(rows.dataset, GuardedArrays):
        yield from read_blocks(rows, batches)
        return
    reader = Reader(rows, seed)
    for positions in batches:
        with unchanged_generators():
            value = reader.read(epoch, positions.tolist())
        yield finish(rows, positions, value)


def finish(rows: DatasetRows, positions: Tensor, value: Any) -> Fed:
    """Inputs and target of a batch as it was read."""
    if rows.collate is None:
        return tuple(value) if isinstance(value, list) else value, rows.target[positions]
    inputs, target = as_batch(value, task=rows.task, step=rows.step, what="A batch of the collate function")
    if rows.step is None and len(target) != len(positions):
        raise DataError(
            f"The collate function made {len(target)} targets of {len(positions)} items; it must keep every item, in "
            "its order. Leave rows out in the Dataset; other layouts go through step=(model, batch) -> loss."
        )
    return inputs, target


class Reader:
    """Reads batches of the rows of a Dataset; what a worker process runs."""

    def __init__(self, rows: DatasetRows, seed: int) -> None:
        self.rows, self.seed = rows, seed

    def read(self, epoch: int, positions: list[int]) -> Any:
        """The items at these positions, collated; of a Dataset with `read_rows` in one go."""
        ids = self.rows.ids[torch.tensor(positions, dtype=torch.int64)]
        if self.rows.collate is None and hasattr(self.rows.dataset, "read_rows"):
            return self.rows.dataset.read_rows(ids)
        items = self.items(epoch, ids)
        seed_item(self.seed, epoch, int(ids[0]))  # for a collate function that draws
        return collate(items, self.rows.collate, ids)

    def items(self, epoch: int, ids: Tensor) -> list[Any]:
        """The items of these rows, each read under its own seed."""
        found = []
        for row in ids.tolist():
            seed_item(self.seed, epoch, row)
            found.append(self.item(row))
        return found

    def item(self, row: int) -> Any:
        try:
            item = self.rows.dataset[row]
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                f"Row {row} of the Dataset cannot be read: {type(error).__name__}: {error}. "
                f"`dataset[{row}]` repeats it; mend this row or leave it out."
            ) from error
        return item if self.rows.collate is not None else item[0]


def collate(items: list[Any], function: Collate | None, ids: Tensor) -> Any:
    """Items as one batch. Raises `DataError` with their rows where they cannot be put together."""
    try:
        return (function or default_collate)(items)
    except DataError:
        raise
    except Exception as error:
        rows = f"The Dataset's {list_rows(ids)}"
        if function not in (None, default_collate, collate_plain):
            raise DataError(
                f"{rows} cannot be collated: {name_of(function)} raised {type(error).__name__}: {error}. It gets a "
                "list of items, as the Dataset returns them, and returns a batch."
            ) from error
        raise DataError(
            f"{rows} cannot be stacked into a batch: {error}. Give every item tensors (or arrays, or numbers) of the "
            "same shapes: crop, resize or pad them; or pass collate=, a function from a list of items to (inputs, "
            "target), which pads each batch to its longest item."
        ) from error


def name_of(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def seed_item(seed: int, *place: int) -> None:
    """Seeds the global generators for one item or batch."""
    seed_generators(mix(SAMPLE, seed, *place))


def seed_generators(value: int) -> None:
    """Seeds torch's, numpy's and Python's global generators of the CPU."""
    torch.default_generator.manual_seed(value)  # `torch.manual_seed` would seed the GPUs too
    np.random.seed(value & 0xFFFFFFFF)
    random.seed(value)


@contextmanager
def unchanged_generators() -> Iterator[None]:
    """Puts the global CPU generators of torch, numpy and Python back as they were."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])

"""Batches of a Dataset's items, each item read with randomness that belongs to it."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from thalweg.data.arrays import list_rows
from thalweg.data.batches import as_batch, collate_plain
from thalweg.data.generators import States, seed_item, unchanged_generators
from thalweg.data.rows import Collate, DatasetRows, Inputs
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
        yield finish(rows, positions, reader.read(epoch, positions.tolist()))


def finish(rows: DatasetRows, positions: Tensor, value: Any) -> Fed:
    """Inputs and target of a batch as it was read."""
    if rows.collate is None:
        return tuple(value) if isinstance(value, list) else value, rows.target[positions]
    count, what = len(positions), "A batch of the collate function"
    inputs, target = as_batch(value, task=rows.task, step=rows.step, what=what, rows=count)
    if rows.step is None and len(target) != count:
        raise DataError(
            f"The collate function made {len(target)} targets of {count} items; it must keep every item, in "
            "its order. Leave rows out in the Dataset; other layouts go through step=(model, batch) -> loss."
        )
    return inputs, target


class Reader:
    """Reads batches of the rows of a Dataset; what a worker process runs.

    Seeding three generators for each item takes 20 microseconds, five times as long as reading one that is in memory.
    Until an item has drawn from one of them, a batch is read without, and read once more when it turns out to draw.
    """

    def __init__(self, rows: DatasetRows, seed: int) -> None:
        self.rows, self.seed = rows, seed
        self.draws = False  # whether an item has drawn from a global generator

    def read(self, epoch: int, positions: list[int]) -> Any:
        """The items at these positions, collated; of a Dataset with `read_rows` in one go."""
        ids = self.rows.ids[torch.tensor(positions, dtype=torch.int64)]
        if self.rows.collate is None and hasattr(self.rows.dataset, "read_rows"):
            return self.rows.dataset.read_rows(ids)
        if not self.draws:
            before = States.now()
            value = collate([self.item(row) for row in ids.tolist()], self.rows.collate, ids)
            self.draws = before.differ()
            if not self.draws:
                return value
            before.put_back()
        with unchanged_generators():
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

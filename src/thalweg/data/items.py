"""Batches of a map-style Dataset, read item by item with randomness that belongs to the item."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from thalweg.data.arrays import list_rows
from thalweg.data.rows import DatasetRows, Inputs
from thalweg.data.seeds import SAMPLE, mix
from thalweg.errors import DataError

Batch = tuple[Inputs, Tensor]


def read_batches(rows: DatasetRows, batches: Sequence[Tensor], *, seed: int, epoch: int) -> Iterator[Batch]:
    """The rows at each batch's positions, collated, with their targets.

    While an item is read, the global generators of torch, numpy and Python are seeded from seed, epoch and row number:
    an augmentation gives the same picture whatever was read before. Between batches they are as the user left them.

    Raises:
        DataError: naming the row whose item cannot be read, or the rows that cannot be stacked.
    """
    reader = SeededItems(rows, seed, epoch)
    loader = DataLoader(
        reader,
        batch_sampler=[batch.tolist() for batch in batches if len(batch)],
        collate_fn=reader.collate,
        generator=torch.Generator(),  # else the loader draws its base seed from the user's generator
    )
    iterator = iter(loader)
    for _ in range(len(loader)):
        with unchanged_generators():
            batch: Batch = next(iterator)
        yield batch


class SeededItems(Dataset[Any]):
    """The items of the rows, each read under its own seed."""

    def __init__(self, rows: DatasetRows, seed: int, epoch: int) -> None:
        self.rows, self.seed, self.epoch = rows, seed, epoch

    def __getitems__(self, positions: list[int]) -> tuple[list[Any], Tensor]:
        chosen = torch.tensor(positions)
        return [self.read(row) for row in self.rows.ids[chosen].tolist()], chosen

    def read(self, row: int) -> Any:
        value = mix(SAMPLE, self.seed, self.epoch, row)
        torch.default_generator.manual_seed(value)  # `torch.manual_seed` would seed the GPUs too
        np.random.seed(value & 0xFFFFFFFF)
        random.seed(value)
        try:
            return self.rows.dataset[row][0]
        except Exception as error:
            raise DataError(
                f"Row {row} of the Dataset cannot be read: {type(error).__name__}: {error}. "
                f"`dataset[{row}]` repeats it; mend this row or leave it out."
            ) from error

    def collate(self, read: Any) -> Batch:
        items, positions = read
        try:
            inputs = default_collate(items)
        except (RuntimeError, TypeError, KeyError) as error:
            raise DataError(
                f"The Dataset's {list_rows(self.rows.ids[positions])} cannot be stacked into a batch: {error}. "
                "Give every item tensors (or arrays, or numbers) of the same shapes: crop, resize or pad them."
            ) from error
        return tuple(inputs) if isinstance(inputs, list) else inputs, self.rows.target[positions]


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

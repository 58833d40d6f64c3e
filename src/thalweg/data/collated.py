"""Datasets whose items become batches by a collate function, or go to a step of the user's own: what they hold."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.data.batches import as_batch, collate_plain
from thalweg.data.datasets import is_small, read_item, stored_targets
from thalweg.data.generators import seed_item, unchanged_generators
from thalweg.data.items import collate as put_together
from thalweg.data.rows import Batch, Collate, StepFunction, is_pair
from thalweg.data.targets import Target, to_target
from thalweg.errors import DataError

TRIAL_ITEMS = 8
EXAMPLE_ITEMS = 1024  # whose collated target shows the task, where items have no target of one shape


@dataclass(frozen=True, eq=False)
class Collated:
    """What a trial showed.

    Args:
        collate: a list of items -> a batch.
        target: of each row; None where items have none of one shape.
        example: the collated target of some rows, where the rows have none by themselves.
    """

    collate: Collate
    target: Target | None
    example: Target | None = None


def try_collate(data: Any, collate: Collate | None, step: StepFunction | None) -> Collated:
    """Collates a few items of a Dataset and finds its targets.

    Raises:
        DataError: for items that cannot be read or collated, and batches that are no pairs where there is no `step`.
    """
    function = collate or collate_plain
    rows = spaced(len(data), TRIAL_ITEMS)
    items, batch = collate_rows(data, rows, function)
    inputs, _ = as_batch(batch, task=None, step=step, what="A batch of the collate function")
    own = row_targets(data, items)
    if isinstance(inputs, Batch):
        return Collated(function, own)
    given = to_target(batch[1])
    if own is not None and agree(own[rows.numpy() if isinstance(own, np.ndarray) else rows], given):
        return Collated(function, own)
    if step is not None:
        return Collated(function, None)
    _, batch = collate_rows(data, spaced(len(data), EXAMPLE_ITEMS), function)
    return Collated(function, None, to_target(batch[1]))


def spaced(count: int, most: int) -> Tensor:
    return torch.linspace(0, count - 1, min(count, most)).long()


def collate_rows(data: Any, rows: Tensor, function: Collate) -> tuple[list[Any], Any]:
    items = []
    with unchanged_generators():
        for row in rows.tolist():
            seed_item(0, 0, row)
            items.append(read_item(data, row))
        return items, put_together(items, function, rows)


def row_targets(data: Any, items: list[Any]) -> Target | None:
    """The target of every row, where items are pairs whose second part is small and of one shape; else None."""
    if not all(is_pair(item) and is_small(item[1]) for item in items):
        return None
    if len({np.shape(item[1]) for item in items}) > 1:
        return None
    stored = stored_targets(data)
    if stored is not None:
        return stored
    values = [read_item(data, row)[1] for row in range(len(data))]
    try:
        return to_target(values)
    except DataError:  # of shapes that differ further on
        return None


def agree(own: Target, given: Target) -> bool:
    if isinstance(own, Tensor) and isinstance(given, Tensor):
        return own.shape == given.shape and bool((own == given).all())
    return not isinstance(own, Tensor) and not isinstance(given, Tensor) and own.tolist() == given.tolist()

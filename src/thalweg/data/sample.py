"""Some of the rows, at hand in memory: the first, evenly spaced ones, or given ones."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from thalweg.data.batches import as_batch
from thalweg.data.generators import unchanged_generators
from thalweg.data.items import Reader
from thalweg.data.rows import (
    AnyRows,
    Batch,
    BatchRows,
    DatasetRows,
    Inputs,
    Rows,
    StreamRows,
    is_divisible,
    rows_in,
    take,
    tensors_of,
)

AtHand = Rows | DatasetRows | BatchRows


def at_hand(rows: AnyRows) -> AtHand:
    """Rows of which any can be read: themselves; of a stream its sample, of a loader a few of its batches.

    Batches whose tensors fit together become resident rows; others, of different lengths say, stay whole.
    """
    if isinstance(rows, StreamRows):
        return rows.sample
    if isinstance(rows, BatchRows) and not isinstance(rows.batches, list):
        return joined(rows) or in_memory(rows, list(rows.sample))
    return rows


def head(rows: AnyRows, count: int) -> AtHand:
    """The first `count` rows in memory, read for it; of whole batches the first one."""
    rows = at_hand(rows)
    if isinstance(rows, BatchRows):
        return in_memory(rows, list(rows.sample[:1]))
    return read(rows, torch.arange(min(count, len(rows))))


def spread(rows: AnyRows, count: int) -> AtHand:
    """`count` rows evenly spaced through all of them, so that data in the order of their classes show every class."""
    rows = at_hand(rows)
    if isinstance(rows, BatchRows):
        return rows
    return read(rows, spaced(len(rows), count))


def spaced(length: int, count: int) -> Tensor:
    """Positions of `count` rows of so many, evenly spaced."""
    return torch.linspace(0, length - 1, min(count, length)).long()


def read(rows: Rows | DatasetRows, positions: Tensor) -> Rows | DatasetRows:
    """The rows at `positions` in memory: as tensors, or as the items from which batches are collated."""
    target, ids = rows.target[positions], rows.ids[positions]
    weights = None if rows.weights is None else rows.weights[positions]
    groups = None if rows.groups is None else rows.groups[positions]
    if isinstance(rows, Rows):
        return Rows(take(rows.inputs, positions), target, ids, rows.part, weights, rows.step, groups)
    with unchanged_generators():
        if rows.collate is not None:
            kept = dict(zip(ids.tolist(), Reader(rows, 0).items(0, ids), strict=True))
            return replace(rows, dataset=kept, target=target, ids=ids, weights=weights, groups=groups)
        stacked = Reader(rows, 0).read(0, positions.tolist())
    inputs: Inputs = tuple(stacked) if isinstance(stacked, list) else stacked
    return Rows(inputs, target, ids, rows.part, weights, rows.step, groups)


def in_memory(rows: BatchRows, batches: list[Any]) -> BatchRows:
    """Some of the batches as rows of their own."""
    sizes = tuple(map(rows_in, batches))
    return replace(
        rows, batches=batches, sizes=sizes, target=torch.zeros(sum(sizes)), sample=tuple(batches), inexact=""
    )


def joined(rows: BatchRows) -> Rows | None:
    """The sample as resident rows; None where its batches are no pairs, or their tensors differ in shape."""
    pairs = [as_batch(value, task=rows.task, step=rows.step, what="A batch") for value in rows.sample]
    inputs, target = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if any(isinstance(value, Batch) for value in inputs):
        return None
    columns = [tensors_of(value) for value in inputs]
    if not all(is_divisible(Batch((value, y), same)) for value, y in zip(inputs, target, strict=True)):
        return None
    if len({tuple(tuple(t.shape[1:]) for t in (*own, y)) for own, y in zip(columns, target, strict=True)}) > 1:
        return None
    whole = [torch.cat(parts) for parts in zip(*columns, strict=True)]
    first = inputs[0]
    form: Inputs = whole[0] if isinstance(first, Tensor) else tuple(whole)
    if isinstance(first, dict):
        form = dict(zip(first, whole, strict=True))
    together = torch.cat(target)
    return Rows(form, together, torch.arange(len(together)), rows.part, None, rows.step)


def same(value: Any) -> Any:
    return value

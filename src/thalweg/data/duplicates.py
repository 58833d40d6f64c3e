"""Exact duplicates across the parts of the data: rows of equal inputs, found by a hash of their bytes (L34).

Of the sealed test rows only hashes are compared, once, when the data are split.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.data.hashes import Hashes, hash_rows, mixed
from thalweg.data.rows import AnyRows, DatasetRows, Part, Rows, tensors_of
from thalweg.data.sample import read
from thalweg.data.stored import GuardedArrays
from thalweg.readings import Reading

SHOWN = 5  # pairs of rows that are named
SAMPLE_ROWS, SAMPLE_COLUMNS, SAMPLE_TWINS = 20_000, 64, 1_000  # from which it is told how much a row says: .2 s
FEW = 4  # mean number of equal training rows from which a table counts as one of few different rows


class Keys(NamedTuple):
    """A hash of each row's inputs, and one of its inputs and target."""

    inputs: Hashes
    whole: Hashes


def find_duplicates(parts: Mapping[Part, AnyRows]) -> list[Reading]:
    """How many validation and test rows have the inputs of a training row.

    Readings, each with the part as its place:
        `duplicates.share`: of its rows that equal a training row; `note` names the first pairs.
        `duplicates.expected`: the share of training rows that equal another training row: as many of the rows of a new
            sample would, by chance (Good and Turing).
        `duplicates.informative`: the share of its rows that equal a training row which says so much that chance is out
            of the question: were the columns independent, not one such pair would be expected in all the data.
        `duplicates.conflicts`: rows that equal a training row, but never in their target; for the training rows
            themselves rows that equal another one and differ in the target.

    Empty where there are items of a Dataset or a stream, which are not compared.

    >>> x = torch.tensor([[0.5, 1.0], [1.5, 2.0], [2.5, 3.0]])
    >>> train = Rows(x, torch.tensor([0, 1, 0]), torch.arange(3), "train")
    >>> test = Rows(x[1:2], torch.tensor([0]), torch.tensor([7]), "test")
    >>> [(r.name, r.place, r.value, r.note) for r in find_duplicates({"train": train, "test": test})][1]
    ('duplicates.share', 'test', 1.0, 'test row 7 = training row 1')
    """
    keys = {part: row_keys(rows) for part, rows in parts.items()}
    train, own = parts["train"], keys["train"]
    if own is None or any(of is None for of in keys.values()):
        return []
    order = np.argsort(own.inputs, kind="stable")
    ordered = own.inputs[order]
    first = np.flatnonzero(np.diff(ordered, prepend=~ordered[:1]) != 0)
    counts = np.diff(first, append=len(ordered))
    repeated = int(counts[counts > 1].sum())
    conflicts = count_conflicts(own)
    readings = [Reading("duplicates.conflicts", conflicts, place="train", count=len(train))]
    for part, rows in parts.items():
        held = keys[part]
        if part == "train" or held is None:
            continue
        places = np.searchsorted(ordered, held.inputs).clip(max=len(ordered) - 1)
        found = np.flatnonzero(ordered[places] == held.inputs)
        twins = order[places[found]]
        told = informative(train, twins, order[first], len(train) + len(rows)) if len(found) else np.zeros(0, bool)
        unlike = ~np.isin(held.whole[found], own.whole)
        shares = {
            "share": len(found) / len(rows),
            "expected": repeated / len(train),
            "informative": float(told.mean()) * len(found) / len(rows) if len(found) else 0.0,
            "conflicts": float(unlike.sum()),
        }
        pairs = zip(rows.ids[found[:SHOWN]].tolist(), train.ids[twins[:SHOWN]].tolist(), strict=True)
        note = ", ".join(f"{part} row {one:,} = training row {other:,}" for one, other in pairs)
        readings += [
            Reading(f"duplicates.{name}", value, place=part, count=len(rows), note=note if name == "share" else "")
            for name, value in shares.items()
        ]
    return readings


def row_keys(rows: AnyRows) -> Keys | None:
    """The hashes of the rows; None where reading them would take as long as an epoch."""
    if isinstance(rows, Rows):
        inputs = hash_rows(tensors_of(rows.inputs))
    elif isinstance(rows, DatasetRows) and isinstance(rows.dataset, GuardedArrays):
        inputs = rows.dataset.hashes
    else:
        return None
    target = hash_rows((rows.target,))
    return Keys(inputs, mixed(inputs * np.uint64(3) + target))


def count_conflicts(keys: Keys) -> int:
    """Rows that equal another one in their inputs, whose targets are not all the same."""
    order = np.lexsort((keys.whole, keys.inputs))
    inputs, whole = keys.inputs[order], keys.whole[order]
    group = np.cumsum(np.diff(inputs, prepend=inputs[:1]) != 0)
    new = (np.diff(inputs) == 0) & (np.diff(whole) != 0)  # another target for the same inputs
    return int(np.isin(group, group[1:][new]).sum())


def informative(train: AnyRows, twins: NDArray[np.int64], distinct: NDArray[np.int64], total: int) -> NDArray[np.bool_]:
    """Which of some of the twins, training rows that another part has too, say so much that it is no chance.

    A row says the sum of -log2 p over its columns, p the share of the different training rows with the same value
    there. Two rows of b bits are equal by chance with 2^-b; of all pairs of rows not one is, where b is above 2 log2 of
    their number. Columns that depend on each other say less than their sum; where rows repeat FEW times on average, as
    tables of a few categories do, four times as much is asked.
    """
    assert isinstance(train, Rows | DatasetRows)
    spread = np.linspace(0, len(distinct) - 1, min(len(distinct), SAMPLE_ROWS)).astype(np.int64)
    some = np.linspace(0, len(twins) - 1, min(len(twins), SAMPLE_TWINS)).astype(np.int64)
    columns = values_of(read(train, torch.from_numpy(np.concatenate([distinct[spread], twins[some]]))))
    count = len(spread)
    bits = np.zeros(len(some))
    for column in columns.T:
        _, code = np.unique(column, return_inverse=True)
        shares = np.bincount(code[:count], minlength=code.max() + 1)[code[count:]].clip(min=1) / count
        bits -= np.log2(shares)
    needed = 2 * math.log2(total)
    return bits >= (4 * needed if len(distinct) * FEW <= len(train) else needed)


def values_of(rows: AnyRows) -> NDArray[np.float64]:
    """`[N, C]`: at most 64 of the rows' values, spread over all of them."""
    assert isinstance(rows, Rows)
    flat = torch.cat([value.reshape(len(rows), -1).double() for value in tensors_of(rows.inputs)], dim=1)
    chosen = torch.linspace(0, flat.shape[1] - 1, min(flat.shape[1], SAMPLE_COLUMNS)).long()
    values: NDArray[np.float64] = flat[:, chosen].numpy()
    return values


def duplicate_notes(readings: list[Reading]) -> list[str]:
    """Short texts worth telling of the split: copies that are no chance."""
    return [
        f"{round(r.value * (r.count or 0)):,} of {r.count:,} {r.place} rows are copies of training rows"
        for r in readings
        if r.name == "duplicates.informative" and r.value > 0
    ]

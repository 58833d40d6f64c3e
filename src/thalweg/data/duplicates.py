"""Exact duplicates across the parts of the data: rows of equal inputs, found by a hash of their bytes (L34).

Of the sealed test rows only hashes are compared, once, when the data are split.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data.hashes import Hashes, hash_rows, mixed
from thalweg.data.rows import AnyRows, DatasetRows, Inputs, Part, Rows, tensors_of
from thalweg.data.sample import read
from thalweg.data.stored import GuardedArrays
from thalweg.readings import Reading

SHOWN = 5  # pairs of rows that are named
SAMPLE_ROWS, SAMPLE_COLUMNS, SAMPLE_TWINS = 20_000, 64, 1_000  # from which it is told how much a row says: .2 s
READ_VALUES = 2**21  # of rows that are read at once for it
FEW = 4  # mean number of equal training rows from which a table counts as one of few different rows


class Keys(NamedTuple):
    """A hash of each row's inputs, and one of its inputs and target."""

    inputs: Hashes
    whole: Hashes


class Groups(NamedTuple):
    """The training rows, equal ones together.

    Args:
        keys: `[G]` sorted hashes of the inputs.
        first: `[G]` a training row of each, as a position.
        counts: `[G]` how many there are of each.
        contradict: `[G]` whether their targets differ.
    """

    keys: Hashes
    first: NDArray[np.int64]
    counts: NDArray[np.int64]
    contradict: NDArray[np.bool_]

    @classmethod
    def of(cls, keys: Keys) -> "Groups":
        order = np.lexsort((keys.whole, keys.inputs))
        inputs, whole = keys.inputs[order], keys.whole[order]
        new = np.append(True, inputs[1:] != inputs[:-1])
        starts = np.flatnonzero(new)
        other_target = np.append(False, whole[1:] != whole[:-1]) & ~new
        contradict = np.add.reduceat(other_target, starts) > 0
        return cls(inputs[starts], order[starts], np.diff(starts, append=len(order)), contradict)


def find_duplicates(parts: Mapping[Part, AnyRows]) -> list[Reading]:
    """How many validation and test rows have the inputs of a training row.

    Readings, each with the part as its place:
        `duplicates.share`: of its rows that equal a training row; `note` names the first pairs.
        `duplicates.expected`: the share of training rows that equal another training row: as many of the rows of a new
            sample would, by chance (Good and Turing).
        `duplicates.informative`: the share of its rows that equal a training row which says so much that chance is out
            of the question: were the columns independent, not one such pair would be expected in all the data.
        `duplicates.own_values`: the share of different training rows whose value no other one has, in the column where
            this is largest; near 1 the rows were measured on a scale so fine that equal ones are copies.
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
    assert isinstance(train, Rows | DatasetRows)
    groups = Groups.of(own)
    repeated = int(groups.counts[groups.counts > 1].sum())
    conflicts = int(groups.counts[groups.contradict].sum())
    readings = [Reading("duplicates.conflicts", conflicts, place="train", count=len(train))]
    for part, rows in parts.items():
        held = keys[part]
        if part == "train" or held is None:
            continue
        group = np.searchsorted(groups.keys, held.inputs).clip(max=len(groups.keys) - 1)
        found = np.flatnonzero(groups.keys[group] == held.inputs)
        says, own_values = informative(train, groups, group[found], len(train) + len(rows))
        values = {
            "share": len(found) / len(rows),
            "expected": repeated / len(train),
            "informative": says * len(found) / len(rows),
            "own_values": own_values,
            "conflicts": float((~np.isin(held.whole[found], own.whole)).sum()),
        }
        twins = train.ids[torch.from_numpy(groups.first[group[found[:SHOWN]]])]
        pairs = zip(rows.ids[found[:SHOWN]].tolist(), twins.tolist(), strict=True)
        note = ", ".join(f"{part} row {one:,} = training row {other:,}" for one, other in pairs)
        readings += [
            Reading(f"duplicates.{name}", value, place=part, count=len(rows), note=note if name == "share" else "")
            for name, value in values.items()
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


def copied(train: AnyRows, rows: AnyRows) -> NDArray[np.bool_] | None:
    """Which rows `[N]` have the inputs of a training row; None where that cannot be told.

    >>> x = torch.tensor([[0.5], [1.5], [2.5]])
    >>> train = Rows(x, torch.zeros(3), torch.arange(3), "train")
    >>> copied(train, Rows(torch.tensor([[1.5], [3.5]]), torch.zeros(2), torch.arange(2), "validation"))
    array([ True, False])
    """
    own, held = row_keys(train), row_keys(rows)
    return None if own is None or held is None else np.isin(held.inputs, own.inputs)


def informative(train: Rows | DatasetRows, groups: Groups, twins: NDArray[np.int64], total: int) -> tuple[float, float]:
    """The share of some twins, groups of training rows that another part has too, that say too much to be chance; and
    the share of different training rows that have a value of their own, in the column where it is largest.

    A row says the sum of -log2 p over its columns, p the share of the different training rows with the same value
    there. Two rows of b bits are equal by chance with 2^-b; of all pairs of rows not one is, where b is above 2 log2 of
    their number. Columns that depend on each other say less than their sum; where rows repeat FEW times on average, as
    tables of a few categories do, four times as much is asked. A row that occurs more than √N times with different
    targets stands for nothing that was measured, however odd its values; new data have it too.
    """
    if not len(twins):
        return 0.0, 0.0
    spread = np.linspace(0, len(groups.first) - 1, min(len(groups.first), SAMPLE_ROWS)).astype(np.int64)
    some = twins[np.linspace(0, len(twins) - 1, min(len(twins), SAMPLE_TWINS)).astype(np.int64)]
    columns = values_of(train, torch.from_numpy(groups.first[np.concatenate([spread, some])]))
    bits, own_values = np.zeros(len(some)), 0.0
    for column in columns.T:
        _, code = np.unique(column, return_inverse=True)
        counts = np.bincount(code[: len(spread)], minlength=code.max() + 1)
        bits -= np.log2(counts[code[len(spread) :]].clip(min=1) / len(spread))
        own_values = max(own_values, float((counts == 1).sum() / len(spread)))
    needed = 2 * math.log2(total) * (4 if len(groups.first) * FEW <= len(train) else 1)
    default = (groups.counts[some] > math.sqrt(len(train))) & groups.contradict[some]
    return float(((bits >= needed) & ~default).mean()), own_values


def values_of(rows: Rows | DatasetRows, positions: Tensor) -> NDArray[np.float64]:
    """`[N, C]`: at most 64 of the values of each of these rows, spread over the row."""
    found = []
    for some in torch.split(positions, max(READ_VALUES // row_values(rows), 1)):
        inputs = tensors_of(in_memory(rows, some))
        flat = torch.cat([value.flatten(1) if value.dim() > 1 else value[:, None] for value in inputs], dim=1)
        chosen = torch.linspace(0, flat.shape[1] - 1, min(flat.shape[1], SAMPLE_COLUMNS)).long()
        found.append(flat[:, chosen.to(flat.device)].double().cpu())
    values: NDArray[np.float64] = torch.cat(found).numpy()
    return values


def row_values(rows: Rows | DatasetRows) -> int:
    return max(sum(value.numel() for value in tensors_of(in_memory(rows, torch.zeros(1, dtype=torch.int64)))), 1)


def in_memory(rows: Rows | DatasetRows, positions: Tensor) -> Inputs:
    found = read(rows, positions)
    assert isinstance(found, Rows)
    return found.inputs


def duplicate_notes(readings: list[Reading]) -> list[str]:
    """Short texts worth telling of the split: copies that are no chance."""
    return [
        f"{round(r.value * (r.count or 0)):,} of {r.count:,} {r.place} rows are copies of training rows"
        for r in readings
        if r.name == "duplicates.informative" and r.value > 0
    ]

"""The split of rows into training, validation and test: at random, stratified by class, by group or by time (L34)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.data.seeds import SPLIT, mix
from thalweg.errors import DataError, UsageError

Sizes = tuple[int, int, int]  # training, validation, test


@dataclass(frozen=True, eq=False)
class Split:
    """Which row is in which part.

    Args:
        train: sorted int64 positions of the training rows.
        validation: the same for validation; empty where its share is 0.
        test: the same for the sealed test rows.
        method: `"stratified"`, `"random"`, `"by group"` or `"by time"`.
        summary: one line for people.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    method: str
    summary: str


def split_rows(
    num_rows: int,
    *,
    labels: Tensor | None,
    validation: float,
    test: float,
    seed: int,
    groups: Sequence[Any] | np.ndarray[Any, Any] | Tensor | None = None,
    time: Sequence[Any] | np.ndarray[Any, Any] | Tensor | None = None,
) -> Split:
    """Splits rows into training, validation and test rows, as a function of the seed alone.

    Parts hold `round(share * num_rows)` rows. With class labels each class is spread over the parts in proportion
    (largest remainder; ties at random), and at least one row of it stays in training. Where whole groups or equal times
    must stay together, sizes are as near to the shares as that allows.

    Args:
        num_rows: how many rows there are, at least 1.
        labels: `[N]` class indices of an integer type, which are stratified; None or floats are not.
        validation: share of the rows, in [0, 1).
        test: share of the rows, in [0, 1).
        seed: decides the split; the global random state is neither read nor moved.
        groups: `[N]` keys of any hashable kind: rows of one group stay in one part.
        time: `[N]` numbers, datetimes or ISO texts: the latest rows are the test rows, those before are validation.
            Rows of one time stay in one part.

    Raises:
        UsageError: for a share outside [0, 1), or for groups and time at once.
        DataError: where a part would be empty, or a length disagrees with `num_rows`.

    >>> split = split_rows(100, labels=torch.arange(100) % 10, validation=0.2, test=0.2, seed=0)
    >>> split.summary
    '60 training, 20 validation and 20 test rows, stratified over 10 classes'
    >>> split_rows(5, labels=None, validation=0.2, test=0.2, seed=0, time=[5, 3, 1, 4, 2]).test
    tensor([0])
    """
    sizes = _sizes(num_rows, validation, test)
    if groups is not None and time is not None:
        raise UsageError("A split is by groups or by time, and received both. Leave one of them out.")
    generator = torch.Generator().manual_seed(mix(SPLIT, seed))
    if groups is not None:
        part, method, note = _by_group(_keys("groups", groups, num_rows), sizes, generator)
    elif time is not None:
        part, method, note = _by_time(_keys("time", time, num_rows), sizes)
    elif labels is not None and not labels.is_floating_point() and labels.ndim == 1:
        part, method, note = _stratified(_keys("labels", labels, num_rows), sizes, generator)
    else:
        part, method, note = _random(sizes, generator, "at random")
    counts = torch.bincount(part, minlength=3).tolist()
    _refuse_empty(counts, sizes, method)
    train, val, held = (torch.nonzero(part == index).flatten() for index in range(3))
    return Split(train, val, held, method, f"{_describe(counts)}, {note}")


def _sizes(num_rows: int, validation: float, test: float) -> Sizes:
    for name, share in (("validation", validation), ("test", test)):
        if not 0 <= share < 1:
            raise UsageError(
                f"The share {name}={share!r} is not in [0, 1); give 0.2 for a fifth of the rows, 0 for none."
            )
    if num_rows < 1:
        raise DataError("There are no rows to split: received 0 rows.")
    num_validation, num_test = round(validation * num_rows), round(test * num_rows)
    for name, share, size in (("validation", validation, num_validation), ("test", test, num_test)):
        if share > 0 and size == 0:
            raise DataError(
                f"{share:g} of {num_rows} rows is no {name} row. "
                f"Give more rows, a larger share, or {name} rows of your own."
            )
    if (num_train := num_rows - num_validation - num_test) < 1:
        raise DataError(
            f"validation={validation:g} and test={test:g} of {num_rows:,} rows leave nothing to train on. "
            "Give smaller shares; 0.2 and 0.2 are usual."
        )
    return num_train, num_validation, num_test


def _keys(name: str, values: Any, num_rows: int) -> Tensor:
    """`[N]` codes of the values: equal where the values are equal, and in their order for labels and time."""
    import pandas as pd

    if isinstance(values, Tensor):
        values = values.cpu().numpy()
    # numpy would turn a list such as ["a", None] into text in silence, hence objects
    array = np.asarray(values) if hasattr(values, "dtype") else np.array(values, dtype=object)
    if array.shape != (num_rows,):
        raise DataError(f"{name} must be one value per row, of shape ({num_rows},); received shape {array.shape}.")
    missing = pd.isna(array)
    if missing.any():
        row = int(missing.argmax())
        raise DataError(
            f"{name} is missing in row {row} ({array[row]!r}). Give every row a value, or leave such rows out."
        )
    if name == "groups":
        codes = pd.factorize(array)[0]  # needs no order
    else:
        try:
            codes = np.unique(array, return_inverse=True)[1]
        except TypeError as error:
            raise DataError(f"{name} holds values that have no order ({error}). Give values of one kind.") from error
    return torch.as_tensor(codes, dtype=torch.int64)


def group_codes(groups: Any, num_rows: int) -> Tensor:
    """`[N]` int64: the same number for rows of the same group."""
    return _keys("groups", groups, num_rows)


def _random(sizes: Sizes, generator: torch.Generator, note: str) -> tuple[Tensor, str, str]:
    num_rows = sum(sizes)
    part = torch.zeros(num_rows, dtype=torch.int64)
    order = torch.randperm(num_rows, generator=generator)
    part[order[: sizes[2]]] = 2
    part[order[sizes[2] : sizes[1] + sizes[2]]] = 1
    return part, "random", note


def _stratified(codes: Tensor, sizes: Sizes, generator: torch.Generator) -> tuple[Tensor, str, str]:
    counts = torch.bincount(codes)
    num_parts = sum(size > 0 for size in sizes)
    small = counts < num_parts
    spread = torch.where(small, 0, counts)
    num_classes = int((~small).sum())
    if sizes[0] - int(counts[small].sum()) < max(num_classes, 1):
        return _random(sizes, generator, "at random: too many classes for too few rows to stratify")
    test = _allot(spread, sizes[2], generator)
    validation = _allot(spread - test, sizes[1], generator)
    order = torch.randperm(len(codes), generator=generator)
    order = order[codes[order].argsort(stable=True)]  # class by class, in random order within each
    of_class = codes[order]
    rank = torch.arange(len(codes)) - (counts.cumsum(0) - counts)[of_class]
    part = torch.zeros_like(codes)
    part[order] = torch.where(rank < test[of_class], 2, torch.where(rank < (test + validation)[of_class], 1, 0))
    note = f"stratified over {num_classes:,} {'class' if num_classes == 1 else 'classes'}"
    if small.any():
        note += f"; {_plural(int(small.sum()), 'class')} of fewer than {num_parts} rows kept in training"
    return part, "stratified", note


def _allot(counts: Tensor, total: int, generator: torch.Generator) -> Tensor:
    """`total` seats in proportion to `counts` by largest remainder; a class that has rows keeps one of them."""
    quota = counts.double() * total / counts.sum()
    seats = quota.floor().long()
    tie = torch.rand(len(counts), generator=generator)
    by_remainder = np.lexsort((tie.numpy(), -(quota - seats).numpy()))
    while (left := total - int(seats.sum())) > 0:
        free = [c for c in by_remainder.tolist() if seats[c] < counts[c] - 1]
        seats[free[:left]] += 1
    return seats


def _by_group(codes: Tensor, sizes: Sizes, generator: torch.Generator) -> tuple[Tensor, str, str]:
    counts = torch.bincount(codes).tolist()
    num_parts = sum(size > 0 for size in sizes)
    if len(counts) < num_parts:
        raise DataError(
            f"{num_parts} parts need at least {num_parts} groups, as no group may be in two parts; "
            f"received {_plural(len(counts), 'group')}. Give fewer parts (validation=0 or test=0) or finer groups."
        )
    part_of = [0] * len(counts)
    missing = list(sizes)  # rows that each part still lacks
    for group in torch.randperm(len(counts), generator=generator).tolist():
        fitting = [part for part in (2, 1) if counts[group] <= missing[part]]
        part_of[group] = max(fitting, key=lambda part: missing[part], default=0)
        missing[part_of[group]] -= counts[group]
    for part in (2, 1):  # one group more where that comes nearer to the share, or where no group was small enough
        free = [group for group, held in enumerate(part_of) if held == 0]
        smallest = min(free, key=lambda group: counts[group])
        empty = sizes[part] > 0 and part not in part_of
        if len(free) > 1 and (empty or counts[smallest] < 2 * missing[part]):
            part_of[smallest] = part
    parts = torch.tensor(part_of)
    num_groups = torch.bincount(parts, minlength=3).tolist()
    return parts[codes], "by group", f"by group ({' / '.join(f'{n:,}' for n in num_groups)} groups)"


def _by_time(codes: Tensor, sizes: Sizes) -> tuple[Tensor, str, str]:
    ends = torch.bincount(codes).cumsum(0)  # rows up to and with each time: the cuts that part no time
    cuts = torch.cat([ends.new_zeros(1), ends])
    wanted = torch.tensor([sizes[0], sizes[0] + sizes[1]])
    first_time = (cuts[:, None] - wanted).abs().argmin(0)  # of validation and of test, as codes
    part = (codes >= first_time[0]).long() + (codes >= first_time[1]).long()
    return part, "by time", "by time, the latest rows last"


def _refuse_empty(counts: list[int], sizes: Sizes, method: str) -> None:
    for name, count, size in zip(("training", "validation", "test"), counts, sizes, strict=True):
        if size and not count:
            raise DataError(
                f"The split {method} leaves the {name} part empty, which should hold {_plural(size, 'row')}: too many "
                f"rows must stay together. Give finer {'groups' if method == 'by group' else 'times'} or other shares."
            )


def _plural(count: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{count:,} {noun if count == 1 else plural}"


def _describe(counts: list[int]) -> str:
    parts = [f"{n:,} {name}" for n, name in zip(counts, ("training", "validation", "test"), strict=True) if n]
    return (" and ".join(parts) if len(parts) < 3 else f"{parts[0]}, {parts[1]} and {parts[2]}") + " rows"

"""Rows of an IterableDataset: one pass that counts them, and batches with randomness that belongs to the item."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from thalweg.data.batches import as_batch, collate_plain
from thalweg.data.datasets import is_small
from thalweg.data.generators import seed_generators, seed_item, unchanged_generators
from thalweg.data.items import Fed, collate
from thalweg.data.rows import Collate, DatasetRows, Part, StepFunction, StreamRows, is_pair, leaves
from thalweg.data.seeds import ORDER, mix
from thalweg.data.targets import Target, to_target
from thalweg.data.task import Task
from thalweg.data.workers import Failure, deaths_named, interrupts_left_to_us, quiet, same
from thalweg.errors import DataError

KEPT_ROWS, KEPT_BYTES = 1024, 64 * 2**20  # of the sample that stays in memory


class Thinned:
    """Every k-th element of a sequence of unknown length; k doubles where there are more than may be kept."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Any, int, int]] = {}  # the element, its rows, its bytes
        self.every = 1

    def offer(self, number: int, value: Any, *, rows: int) -> None:
        if number % self.every:
            return
        self.kept[number] = (value, rows, sum(tensor.nbytes for tensor in leaves(value)))
        while len(self.kept) > 1 and self._too_many():
            self.every *= 2
            self.kept = {place: kept for place, kept in self.kept.items() if place % self.every == 0}

    def _too_many(self) -> bool:
        rows, sizes = sum(kept[1] for kept in self.kept.values()), sum(kept[2] for kept in self.kept.values())
        return rows > KEPT_ROWS or sizes > KEPT_BYTES

    @property
    def values(self) -> dict[int, Any]:
        return {place: value for place, (value, _, _) in self.kept.items()}


@dataclass(frozen=True)
class Pass:
    """What one pass over a stream or a loader found.

    Args:
        sizes: rows of each batch; of a stream of items, ones.
        target: as the data give it, in the order of the pass; None where they give none, or a large one.
        kept: a sample of items or batches, by number.
        seconds: the time it took.
        whole: False where the rest was not looked at.
    """

    sizes: tuple[int, ...]
    target: Target | None
    kept: dict[int, Any]
    seconds: float
    whole: bool = True

    @property
    def num_rows(self) -> int:
        return sum(self.sizes)


def pass_over_stream(dataset: Iterable[Any], part: Part) -> Pass:
    """Counts the items of a stream, keeps some of them, and their targets where they are small.

    Raises:
        DataError: for no items, or an item that cannot be read; the message has its number.
    """
    thinned, targets, number, paired, started = Thinned(), [], 0, True, time.monotonic()
    with unchanged_generators():
        for number, item in enumerate(seeded(dataset, seed=0, epoch=0), start=1):
            thinned.offer(number - 1, item, rows=1)
            paired = paired and is_pair(item) and is_small(item[1])
            if paired:
                targets.append(item[1])
    if not number:
        raise DataError(f"The {type(dataset).__name__} of the {part} data yields nothing; it needs one item per row.")
    seconds = time.monotonic() - started
    return Pass((1,) * number, to_target(targets) if paired else None, thinned.values, seconds)


def stream_rows(
    dataset: Iterable[Any],
    found: Pass,
    part: Part,
    *,
    target: Tensor | None,
    collate: Collate | None,
    step: StepFunction | None,
    task: Task | None,
) -> StreamRows:
    """The rows of a stream after a pass over it; `target` is what the pass found, as the loss takes it."""
    ids = torch.tensor(list(found.kept))
    target = torch.zeros(found.num_rows) if target is None else target
    sample = DatasetRows(found.kept, target[ids], ids, part, None, collate or collate_plain, step, task)
    return StreamRows(dataset, target, sample, found.seconds / found.num_rows)


def seeded(dataset: Iterable[Any], *, seed: int, epoch: int) -> Iterator[Any]:
    """The items of one iteration, the global generators seeded for its start and for each item by its number."""
    number = 0
    try:
        seed_generators(mix(ORDER, seed, epoch))
        iterator = iter(dataset)
        for number in count():
            seed_item(seed, epoch, number)
            try:
                item = next(iterator)
            except StopIteration:
                return
            yield item
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"Item {number} of the {type(dataset).__name__} (counted from 0) cannot be read: "
            f"{type(error).__name__}: {error}. Mend it or leave it out."
        ) from error


class Stream(IterableDataset[Any]):
    """The collated batches of one epoch of a stream, without those that are skipped; what a worker process runs."""

    def __init__(self, rows: StreamRows, *, batch_size: int, seed: int, epoch: int, skip: int) -> None:
        self.rows, self.batch_size, self.seed, self.epoch, self.skip = rows, batch_size, seed, epoch, skip

    def __iter__(self) -> Iterator[Any]:
        items: list[Any] = []
        number = -1
        for number, item in enumerate(seeded(self.rows.dataset, seed=self.seed, epoch=self.epoch)):
            if number >= self.skip * self.batch_size:
                items.append(item)
            if len(items) == self.batch_size:
                yield self.batch(items, number)
                items = []
        if items:
            yield self.batch(items, number)
        if number + 1 != len(self.rows):
            raise DataError(
                f"The {type(self.rows.dataset).__name__} gave {number + 1:,} items in epoch {self.epoch + 1} and "
                f"{len(self.rows):,} in the first pass: batch {(number + 1) // self.batch_size} is another one. Make "
                "it give the same number of items each time it is iterated."
            )

    def batch(self, items: list[Any], last: int) -> tuple[int, Any]:
        """The number of items, and what they became."""
        numbers = torch.arange(last + 1 - len(items), last + 1)
        return len(items), collate(items, self.rows.sample.collate, numbers)


class Guarded(IterableDataset[Any]):
    """The same, with a `Failure` in place of an error, which torch would wrap into a traceback."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.stream
        except DataError as error:
            yield Failure(str(error))


def read_stream(
    rows: StreamRows, *, batch_size: int, seed: int, epoch: int, skip: int, ahead: bool = False
) -> Iterator[Fed]:
    """The batches of an epoch from number `skip` on; the items before are read and dropped.

    `ahead` reads in a process of its own. Raises `DataError` where an item cannot be read, or their number changes.
    """
    stream = Stream(rows, batch_size=batch_size, seed=seed, epoch=epoch, skip=skip)
    source: Iterable[Any] = stream
    with quiet(), interrupts_left_to_us(), unchanged_generators():
        if ahead:
            source = DataLoader(Guarded(stream), batch_size=None, num_workers=1, collate_fn=same)
        iterator = iter(source)
    while True:
        with deaths_named(receiving=ahead), unchanged_generators():
            value = next(iterator, None)
        if value is None:
            return
        if isinstance(value, Failure):
            raise DataError(value.message)
        count, batch = value
        yield as_batch(batch, task=rows.sample.task, step=rows.step, what="A batch of the stream", rows=count)

"""The feeder: batches as a function of seed, epoch and step, without a random state to keep."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from thalweg.data.augmented import Augmenter
from thalweg.data.items import read_batches
from thalweg.data.loaders import read_loader
from thalweg.data.rows import (
    AnyRows,
    Batch,
    BatchRows,
    DatasetRows,
    Inputs,
    Rows,
    StreamRows,
    map_inputs,
    take,
    tensors_of,
)
from thalweg.data.seeds import ORDER, mix
from thalweg.data.streams import read_stream
from thalweg.data.workers import Workers
from thalweg.errors import TrainingError, UsageError

BLOCK_BYTES = 4 * 2**20  # of one gather: what prepares it finds it in the cache; 64 MiB take four times as long
MOST_ROWS = 2**20  # of a batch whose rows have no numbers of their own
NOT_NUMBERED = torch.zeros(0, dtype=torch.int64)  # where nothing asks for the numbers


class Feeder:
    """Batches of rows, in an order that depends on the seed and the epoch alone.

    Resident rows are gathered once per epoch (per 4 MiB, where an epoch is larger) and handed out as views, which is
    as quick as `zip(x[order].split(size), y[order].split(size))`. Rows of a Dataset are read item by item; torch's,
    numpy's and Python's global generators are seeded for each item from seed, epoch and row number, and left as found.
    The last batch of an epoch holds the rest and may be smaller. An IterableDataset and a DataLoader keep their own
    order; a DataLoader its own batches too, which may be of any sizes. Under a `step` of the user's own a batch is a
    `Batch` with inputs and target, or whatever the data give.

    Args:
        rows: what is fed.
        batch_size: rows per batch, at least 1; the batches of a DataLoader are its own.
        seed: decides the order, and the randomness of a Dataset's items.
        shuffle: False keeps the order of the rows, for evaluation.
        device: where the batches are wanted; towards a GPU they go through pinned memory, without waiting.
        transform: acts on the inputs under `no_grad`, on many batches at once: what it does to a row must not depend
            on the others.
        target_transform: the same for the targets.
        workers: processes that read the items of a Dataset ahead; the batches do not depend on their number.
        augment: changes the rows by what is drawn for each from seed, epoch and row number; of an IterableDataset and a
            DataLoader from its place in the epoch. Rows that are not shuffled stay as they are.

    >>> from thalweg.data.rows import Rows
    >>> rows = Rows(torch.arange(5.0), torch.arange(5), torch.arange(5), "train")
    >>> feeder = Feeder(rows, batch_size=2, seed=0)
    >>> len(feeder), feeder.order(0).tolist(), feeder.order(1).tolist()
    (3, [1, 0, 2, 3, 4], [1, 2, 4, 3, 0])
    >>> [target.tolist() for _, target in feeder.epoch(0, skip=1)]
    [[2, 3], [4]]
    """

    def __init__(
        self,
        rows: AnyRows,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        device: torch.device | str = "cpu",
        transform: Callable[[Inputs], Inputs] | None = None,
        target_transform: Callable[[Tensor], Tensor] | None = None,
        workers: int = 0,
        augment: Augmenter | None = None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size got {batch_size!r}; allowed: an integer of at least 1.")
        self.rows = rows
        self.batch_size = rows.batch_size if isinstance(rows, BatchRows) else batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.device = torch.device(device)
        self.transform = transform
        self.target_transform = target_transform
        self.num_workers = workers
        self.augment = augment if shuffle else None  # rows in their order are measured on
        self._workers: Workers | None = None  # started with the first epoch
        self._open = 0  # epochs of a DataLoader that are being read

    def like(
        self,
        *,
        rows: AnyRows | None = None,
        batch_size: int | None = None,
        seed: int | None = None,
        shuffle: bool | None = None,
    ) -> "Feeder":
        """Another feeder that differs in what is given; it reads without processes of its own."""
        return Feeder(
            self.rows if rows is None else rows,
            batch_size=self.batch_size if batch_size is None else batch_size,
            seed=self.seed if seed is None else seed,
            shuffle=self.shuffle if shuffle is None else shuffle,
            device=self.device,
            transform=self.transform,
            target_transform=self.target_transform,
            augment=self.augment,
        )

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self.rows.sizes) if isinstance(self.rows, BatchRows) else -(-len(self.rows) // self.batch_size)

    def close(self) -> None:
        """Ends the processes that read; another epoch would start new ones."""
        self._workers = None

    def order(self, epoch: int) -> Tensor:
        """`[N]` positions of the rows in the order in which this epoch visits them."""
        if not self.shuffle or isinstance(self.rows, StreamRows | BatchRows):
            return torch.arange(len(self.rows))
        return self._permutation(len(self.rows), epoch)

    def _permutation(self, count: int, epoch: int) -> Tensor:
        return torch.randperm(count, generator=torch.Generator().manual_seed(mix(ORDER, self.seed, epoch)))

    def row_numbers(self, epoch: int, batch: int) -> list[int]:
        """The numbers, in the user's data, of the rows of a batch; none where a DataLoader keeps them to itself."""
        if isinstance(self.rows, BatchRows):
            return []
        positions = self.order(epoch)[batch * self.batch_size : (batch + 1) * self.batch_size]
        return [int(i) for i in self.rows.ids[positions]]

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """The batches of an epoch, `(inputs, target)`, from batch number `skip` on.

        Raises:
            DataError: where an item of a Dataset cannot be read, a DataLoader's batches change their form or number;
                the message names the row or the batch.
            TrainingError: where a process that reads the data died.
        """
        if not isinstance(self.rows, Rows):
            numbers = self._numbers(epoch)
            for batch, (inputs, target) in enumerate(self._read(epoch, skip), skip):
                ids = numbers(batch, len(target))
                yield self._wrap(*self._mixed(*self._prepare(inputs, target, ids, epoch), ids, epoch))
            return
        order = self.order(epoch)[skip * self.batch_size :]
        size = self._rows_per_gather(self.rows)
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            target = self.rows.target.index_select(0, chosen.to(self.rows.target.device))
            ids = self.rows.ids[chosen] if self.augment else NOT_NUMBERED
            batches = split(*self._prepare(take(self.rows.inputs, chosen), target, ids, epoch), self.batch_size)
            if self.augment is not None:
                each = torch.split(ids, self.batch_size)
                batches = (self._mixed(*batch, own, epoch) for batch, own in zip(batches, each, strict=True))
            yield from batches if self.rows.step is None else (self._wrap(*batch) for batch in batches)

    def _numbers(self, epoch: int) -> Callable[[int, int], Tensor]:
        """`(batch, its rows) -> [B]` numbers that rows keep in every epoch; of a stream and a loader their places."""
        if self.augment is None:
            return lambda _batch, _rows: NOT_NUMBERED
        if not isinstance(self.rows, DatasetRows):
            return lambda batch, rows: batch * MOST_ROWS + torch.arange(rows)
        ids = self.rows.ids[self.order(epoch)]
        return lambda batch, rows: ids[batch * self.batch_size :][:rows]

    def weights(self, epoch: int, skip: int = 0) -> Iterator[Tensor]:
        """The rows' weights `[B]` of each batch that `epoch` gives; the rows must have weights."""
        assert self.rows.weights is not None
        order = self.order(epoch)[skip * self.batch_size :]
        weights = self._move(self.rows.weights.index_select(0, order.to(self.rows.weights.device)))
        yield from torch.split(weights, self.batch_size)

    def _read(self, epoch: int, skip: int) -> Iterator[tuple[Inputs, Tensor]]:
        """The batches of rows that are not resident, as they are read."""
        rows = self.rows
        if isinstance(rows, DatasetRows):
            batches = torch.split(self.order(epoch)[skip * self.batch_size :], self.batch_size)
            batches = batches if len(batches[0]) else ()
            if not self.num_workers:
                return read_batches(rows, batches, seed=self.seed, epoch=epoch)
            if self._workers is None:
                self._workers = Workers(rows, self.seed, self.num_workers)
            if self._workers.busy:  # a second look at an epoch under way: read here, the batches are the same
                return read_batches(rows, batches, seed=self.seed, epoch=epoch)
            return self._read_ahead(self._workers, batches, epoch)
        if isinstance(rows, StreamRows):
            ahead = self.num_workers > 0
            return read_stream(rows, batch_size=self.batch_size, seed=self.seed, epoch=epoch, skip=skip, ahead=ahead)
        assert isinstance(rows, BatchRows)
        if isinstance(rows.batches, list):
            places = self._permutation(len(rows.sizes), epoch) if self.shuffle else torch.arange(len(rows.sizes))
            rows = replace(rows, batches=[rows.batches[i] for i in places])
        return self._counted(read_loader(rows, seed=self.seed, epoch=epoch, skip=skip, nested=self._open > 0))

    def _read_ahead(self, workers: Workers, batches: Sequence[Tensor], epoch: int) -> Iterator[tuple[Inputs, Tensor]]:
        try:
            yield from workers.read_batches(batches, epoch=epoch)
        except TrainingError:  # one of them died: the next epoch starts new ones
            self._workers = None
            raise

    def _counted(self, batches: Iterator[tuple[Inputs, Tensor]]) -> Iterator[tuple[Inputs, Tensor]]:
        self._open += 1
        try:
            yield from batches
        finally:
            self._open -= 1

    def _rows_per_gather(self, rows: Rows) -> int:
        """The whole epoch, or as many whole batches as fit into a block."""
        # A transform makes floats of pixels, hence four bytes for a value of one.
        least = 4 if self.transform or self.augment else 1
        values = [*tensors_of(rows.inputs), rows.target]
        row_bytes = sum(v[:1].numel() * max(v.element_size(), least) for v in values)
        return max(BLOCK_BYTES // max(row_bytes, 1) // self.batch_size, 1) * self.batch_size

    def _mixed(self, inputs: Inputs, target: Tensor, ids: Tensor, epoch: int) -> tuple[Inputs, Tensor]:
        if self.augment is None:
            return inputs, target
        return self.augment.after(inputs, target, ids, epoch=epoch, seed=self.seed)

    def _prepare(self, inputs: Inputs, target: Tensor, ids: Tensor, epoch: int) -> tuple[Inputs, Tensor]:
        inputs, target = map_inputs(self._move, inputs), self._move(target)
        if self.augment is not None:
            inputs, target = self.augment.before(inputs, target, ids, epoch=epoch, seed=self.seed)
        with torch.no_grad():
            if self.transform:
                inputs = self.transform(inputs)
            if self.target_transform:
                target = self.target_transform(target)
        return inputs, target

    def _wrap(self, inputs: Inputs, target: Tensor) -> tuple[Inputs, Tensor]:
        """The batch as the user's `step` takes it, where there is one."""
        step = self.rows.step
        return (inputs if step is None or isinstance(inputs, Batch) else Batch((inputs, target), step)), target

    def _move(self, value: Tensor) -> Tensor:
        if self.device.type == "cuda" and value.device.type == "cpu":
            value = value.pin_memory()  # a copy from pageable memory would make the host wait
        return value.to(self.device, non_blocking=self.device.type == "cuda")


def split(inputs: Inputs, target: Tensor, size: int) -> Iterator[tuple[Inputs, Tensor]]:
    """Batches of `size` rows as views."""
    targets = torch.split(target, size)
    if isinstance(inputs, Tensor):
        return zip(torch.split(inputs, size), targets, strict=True)
    parts = zip(*(torch.split(value, size) for value in tensors_of(inputs)), strict=True)
    if isinstance(inputs, dict):
        names = tuple(inputs)
        return zip((dict(zip(names, part, strict=True)) for part in parts), targets, strict=True)
    return zip(parts, targets, strict=True)

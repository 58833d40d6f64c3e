"""The feeder: batches as a function of seed, epoch and step, without a random state to keep."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from thalweg.data.items import read_batches
from thalweg.data.rows import AnyRows, Inputs, Rows, map_inputs, take, tensors_of
from thalweg.data.seeds import ORDER, mix
from thalweg.errors import UsageError

BLOCK_BYTES = 64 * 2**20  # of one gather: small beside any model's memory, large beside the cost of a call


class Feeder:
    """Batches of rows, in an order that depends on the seed and the epoch alone.

    Resident rows are gathered once per epoch (per 64 MiB, where an epoch is larger) and handed out as views, which is
    as quick as `zip(x[order].split(size), y[order].split(size))`. Rows of a Dataset are read item by item; torch's,
    numpy's and Python's global generators are seeded for each item from seed, epoch and row number, and left as found.
    The last batch of an epoch holds the rest and may be smaller.

    Args:
        rows: what is fed.
        batch_size: rows per batch, at least 1.
        seed: decides the order, and the randomness of a Dataset's items.
        shuffle: False keeps the order of the rows, for evaluation.
        device: where the batches are wanted; towards a GPU they go through pinned memory, without waiting.
        transform: acts on the inputs under `no_grad`, on many batches at once: what it does to a row must not depend
            on the others.
        target_transform: the same for the targets.

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
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size got {batch_size!r}; allowed: an integer of at least 1.")
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.device = torch.device(device)
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-len(self.rows) // self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """`[N]` positions of the rows in the order in which this epoch visits them."""
        if not self.shuffle:
            return torch.arange(len(self.rows))
        generator = torch.Generator().manual_seed(mix(ORDER, self.seed, epoch))
        return torch.randperm(len(self.rows), generator=generator)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """The batches of an epoch, `(inputs, target)`, from batch number `skip` on.

        Raises:
            DataError: where an item of a Dataset cannot be read; the message names the row.
        """
        order = self.order(epoch)[skip * self.batch_size :]
        if not isinstance(self.rows, Rows):
            for inputs, target in read_batches(
                self.rows, torch.split(order, self.batch_size), seed=self.seed, epoch=epoch
            ):
                yield self._prepare(inputs, target)
            return
        size = self._rows_per_gather(self.rows)
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            target = self.rows.target.index_select(0, chosen.to(self.rows.target.device))
            yield from split(*self._prepare(take(self.rows.inputs, chosen), target), self.batch_size)

    def _rows_per_gather(self, rows: Rows) -> int:
        """The whole epoch, or as many whole batches as fit into a block."""
        # A transform makes floats of pixels, hence four bytes for a value of one.
        least = 4 if self.transform else 1
        values = [*tensors_of(rows.inputs), rows.target]
        row_bytes = sum(v[:1].numel() * max(v.element_size(), least) for v in values)
        return max(BLOCK_BYTES // max(row_bytes, 1) // self.batch_size, 1) * self.batch_size

    def _prepare(self, inputs: Inputs, target: Tensor) -> tuple[Inputs, Tensor]:
        inputs, target = map_inputs(self._move, inputs), self._move(target)
        with torch.no_grad():
            if self.transform:
                inputs = self.transform(inputs)
            if self.target_transform:
                target = self.target_transform(target)
        return inputs, target

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

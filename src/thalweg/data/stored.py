"""Arrays that stay on disk: rows are read by their place in the file, and the memory of the process does not grow.

A memory map hands the kernel's pages to the process, which then holds what it has touched; a positional read copies
the rows that were asked for and nothing else.
"""

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from thalweg.data.arrays import from_numpy, list_rows, same_length, to_tensor
from thalweg.data.datasets import GuardedDataset
from thalweg.data.hashes import Hashes, hash_rows
from thalweg.data.rows import DatasetRows, Inputs, map_inputs, tensors_of
from thalweg.data.targets import Target
from thalweg.errors import DataError

MOST_RESIDENT = 512 * 2**20  # bytes of an array on disk that is read into memory as a whole
GAP_BYTES = 8 * 2**10  # read and thrown away rather than skipped: a call costs as much as copying them
RUN_BYTES = 256 * 2**10  # of one read
BLOCK_BYTES = 8 * 2**20  # of rows that are read at once


@cache
def most_resident() -> int:
    """512 MiB, or a quarter of the machine's memory where that is less."""
    return min(MOST_RESIDENT, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)


@dataclass(frozen=True)
class StoredArray:
    """An array `[N, ...]` in a file, each row of which is contiguous.

    Args:
        path: the file.
        offset: the byte at which row 0 begins.
        stride: bytes from the beginning of a row to that of the next one.
        shape: of the whole array.
        dtype: as the file has it; `read` converts as `to_tensor` does.

    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "x.npy"
    >>> np.save(path, np.arange(12.0).reshape(6, 2))
    >>> array = StoredArray.of(np.load(path, mmap_mode="r")[1:])
    >>> array.shape, array.read(torch.tensor([4, 0]))
    ((5, 2), tensor([[10., 11.],
            [ 2.,  3.]]))
    """

    path: Path
    offset: int
    stride: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, array: "np.memmap[Any, Any]") -> "StoredArray":
        """Where the rows of a memory map, or of a slice of one, lie in its file.

        Raises:
            DataError: where a row is no contiguous piece of the file, or the map has changes that the file lacks.
        """
        path = Path(str(array.filename))
        if array.mode == "c":
            raise DataError(
                f"The map of {path} is copy-on-write (mode 'c'), so that the file may lack its changes. "
                "Open it with mode 'r'."
            )
        if not array[0].flags.c_contiguous or (len(array) > 1 and array.strides[0] <= 0):
            raise DataError(
                f"The rows of the array of shape {list(array.shape)} in {path} are scattered through the file (it is "
                "stored column by column, or a slice or transpose of one); too large to be read as a whole, it would "
                "be slow. Store it row by row: np.save(path, np.ascontiguousarray(x))."
            )
        mapped: Any = array._mmap  # type: ignore[attr-defined]
        start = np.frombuffer(mapped, dtype=np.uint8).ctypes.data  # of the map, which begins at a page of the file
        page = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
        offset = array.ctypes.data - start + page
        return cls(path, offset, int(array.strides[0]), tuple(array.shape), array.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    def read(self, rows: Tensor) -> Tensor:
        """The rows at the given numbers, in that order, whatever it is.

        Raises:
            DataError: where the file is gone, or ends before these rows.
        """
        numbers = rows.numpy()
        order = np.argsort(numbers, kind="stable")
        size, found = self.row_bytes, np.empty((len(numbers), self.row_bytes), dtype=np.uint8)
        into = found.reshape(-1).data  # slices of which are made in half the time of an array's
        try:
            file = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise DataError(
                f"The file {self.path}, whose rows are read as they are needed, cannot be opened: {error}. Put it back."
            ) from error
        try:
            for start, end in self._runs(numbers[order]):
                if end - start == 1:
                    place = int(order[start])
                    self._fill(file, int(numbers[place]), into[place * size : (place + 1) * size])
                else:
                    places = order[start:end]
                    found[places] = self._stretch(file, numbers[places])
        finally:
            os.close(file)
        return from_numpy(found.reshape(-1).view(self.dtype).reshape(len(numbers), *self.shape[1:]), str(self.path))

    def _runs(self, numbers: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Stretches of sorted row numbers that are near enough to be read in one piece."""
        near = np.diff(numbers) * self.stride <= self.row_bytes + GAP_BYTES
        piece = numbers * self.stride // RUN_BYTES
        cuts = np.flatnonzero(~near | (np.diff(piece) > 0)) + 1
        edges = [0, *cuts.tolist(), len(numbers)]
        return pairwise(edges) if len(numbers) else iter(())

    def _stretch(self, file: int, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """`[n, bytes]`: rows of sorted numbers, with all that lies between them read too."""
        first, last = int(numbers[0]), int(numbers[-1])
        piece = np.empty((last - first) * self.stride + self.row_bytes, dtype=np.uint8)
        self._fill(file, first, piece.data)
        rows = np.lib.stride_tricks.as_strided(piece, (last - first + 1, self.row_bytes), (self.stride, 1))
        return rows[numbers - first]

    def _fill(self, file: int, row: int, into: memoryview) -> None:
        """The bytes of the file from the beginning of a row on."""
        start, done = self.offset + row * self.stride, 0
        while done < len(into):
            count = os.preadv(file, [into[done:]], start + done)
            if count == 0:
                raise DataError(
                    f"The file {self.path} ends before row {row:,} of {len(self):,} (counted from 0). It was cut off "
                    "or changed since the experiment was made; restore it and make the experiment again."
                )
            done += count


class ArrayDataset(Dataset[tuple[Any, Any]]):
    """Rows `(x, y)` whose inputs, or some of them, stay on disk.

    Args:
        inputs: a `StoredArray`, or a tuple or dict of such and of tensors.
        targets: one per row, in memory.
    """

    def __init__(self, inputs: Any, targets: Target) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        one = self.read_rows(torch.tensor([row]))
        first: Any
        if isinstance(one, dict):
            first = {name: value[0] for name, value in one.items()}
        else:
            first = tuple(value[0] for value in one) if isinstance(one, tuple) else one[0]  # type: ignore[index]
        return first, self.targets[row]

    def read_rows(self, rows: Tensor) -> Inputs:
        """The inputs of many rows in one go."""
        if isinstance(self.inputs, dict):
            return {name: pick(value, rows) for name, value in self.inputs.items()}
        if isinstance(self.inputs, tuple):
            return tuple(pick(value, rows) for value in self.inputs)
        return pick(self.inputs, rows)


def pick(value: "StoredArray | Tensor", rows: Tensor) -> Tensor:
    return value.read(rows) if isinstance(value, StoredArray) else value.index_select(0, rows)


class GuardedArrays(GuardedDataset):
    """An `ArrayDataset` that gives out the rows of one part and refuses all others (L34)."""

    hashes: Hashes  # of the part's rows, which are taken while they are looked through

    @cached_property
    def row_bytes(self) -> int:
        """Of the inputs of one row in memory."""
        first = torch.tensor([self._allowed.index(1)])
        return sum(value.nbytes for value in tensors_of(self.read_rows(first)))

    def read_rows(self, rows: Tensor) -> Inputs:
        refused = torch.frombuffer(self._allowed, dtype=torch.uint8)[rows] == 0
        if refused.any():
            raise DataError(
                f"{list_rows(rows[refused]).capitalize()} are not among the {sum(self._allowed):,} {self._part} rows."
            )
        found: Inputs = self._dataset.read_rows(rows)
        return found


def is_stored(value: object) -> bool:
    """Whether a value is a memory map of a file that is too large to be copied into memory."""
    return isinstance(value, np.memmap) and value.filename is not None and value.nbytes > most_resident()


def stored_dataset(x: Any, target: Target) -> ArrayDataset | None:
    """The rows of inputs that are, or among which is, an array that stays on disk; None for others."""
    values = list(x.values()) if isinstance(x, dict) else list(x) if isinstance(x, tuple) else [x]
    if not any(map(is_stored, values)):
        return None
    parts = [StoredArray.of(v) if is_stored(v) else to_tensor(v, f"input {i}") for i, v in enumerate(values)]
    same_length({**{f"input {i}": len(part) for i, part in enumerate(parts)}, "the target": len(target)})
    if isinstance(x, dict):
        return ArrayDataset(dict(zip(x, parts, strict=True)), target)
    return ArrayDataset(tuple(parts) if isinstance(x, tuple) else parts[0], target)


def read_blocks(rows: DatasetRows, batches: Sequence[Tensor]) -> Iterator[tuple[Inputs, Tensor]]:
    """The batches at these positions, many of them read at once: sorted, they are fewer and nearer reads."""
    assert isinstance(rows.dataset, GuardedArrays)
    count = max(BLOCK_BYTES // max(rows.dataset.row_bytes * max(map(len, batches), default=1), 1), 1)
    for first in range(0, len(batches), count):
        some = batches[first : first + count]
        positions = torch.cat(list(some))
        inputs, target = rows.dataset.read_rows(rows.ids[positions]), rows.target[positions]
        ends = list(accumulate(map(len, some)))
        for start, end in pairwise([0, *ends]):
            yield cut(inputs, start, end), target[start:end]


def cut(inputs: Inputs, start: int, end: int) -> Inputs:
    return map_inputs(lambda value: value[start:end], inputs)


def look_through(rows: DatasetRows, check: Callable[[Inputs, Tensor], None]) -> None:
    """Reads all rows once, in their order: `check(inputs, positions)` sees a few MiB at a time; hashes are kept."""
    assert isinstance(rows.dataset, GuardedArrays)
    hashes = []
    for positions in torch.split(torch.arange(len(rows)), max(BLOCK_BYTES // max(rows.dataset.row_bytes, 1), 1)):
        inputs = rows.dataset.read_rows(rows.ids[positions])
        check(inputs, positions)
        hashes.append(hash_rows(tensors_of(inputs)))
    rows.dataset.hashes = np.concatenate(hashes)

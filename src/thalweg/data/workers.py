"""Processes that read a Dataset's items ahead of the training; the batches do not depend on their number."""

import multiprocessing
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from thalweg.data.generators import unchanged_generators
from thalweg.data.items import Fed, Reader, finish
from thalweg.data.rows import AnyRows, DatasetRows, StreamRows
from thalweg.errors import DataError, TrainingError

SLOW = 1e-3  # seconds per item from which processes of their own are worth their start of about .1 s
MOST = 4
TRIAL_ITEMS, TRIAL_SECONDS = 32, 0.25  # that are read to time them


@dataclass(frozen=True)
class Failure:
    """What a worker sends in place of a batch that could not be read; torch would wrap the error into a traceback."""

    message: str


class Jobs:
    """The batches of an epoch, for the workers; torch asks for a new iterator each epoch."""

    def __init__(self) -> None:
        self.epoch: int = 0
        self.batches: Sequence[Tensor] = ()

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        return iter([(self.epoch, positions.tolist()) for positions in self.batches])

    def __len__(self) -> int:
        return len(self.batches)


class Batches:
    """The batches as a Dataset whose indices are jobs."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def __getitem__(self, job: tuple[int, list[int]]) -> Any:
        try:
            return self.reader.read(*job)
        except DataError as error:
            return Failure(str(error))

    def __len__(self) -> int:
        return len(self.reader.rows)


class Workers:
    """Reads the batches of rows in processes that stay over the epochs.

    Args:
        rows: what is read.
        seed: decides the randomness of the items, as without workers.
        count: processes, at least 1.
    """

    def __init__(self, rows: DatasetRows, seed: int, count: int) -> None:
        self.rows, self.jobs, self.busy = rows, Jobs(), False
        with quiet():
            self.loader: DataLoader[Any] = DataLoader(
                Batches(Reader(rows, seed)),  # type: ignore[arg-type]
                batch_size=None,
                sampler=self.jobs,
                num_workers=count,
                collate_fn=same,
                generator=torch.Generator(),  # else torch draws from the user's generator
                persistent_workers=True,
            )

    def read_batches(self, batches: Sequence[Tensor], *, epoch: int) -> Iterator[Fed]:
        """As `items.read_batches`. One iteration at a time: a second one would end the first."""
        self.jobs.epoch, self.jobs.batches = epoch, batches
        self.busy = True
        try:
            with deaths_named(), quiet(), interrupts_left_to_us():
                iterator = iter(self.loader)
            for positions in batches:
                with deaths_named(receiving=True):
                    value = next(iterator)
                if isinstance(value, Failure):
                    raise DataError(value.message)
                yield finish(self.rows, positions, value)
        finally:
            self.busy = False


def same(value: Any) -> Any:
    return value


@contextmanager
def interrupts_left_to_us() -> Iterator[None]:
    """Processes started within ignore Ctrl-C, which reaches all of a terminal's: the main one decides what to do."""
    if threading.current_thread() is not threading.main_thread():  # where Python sets no handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of torch about more workers than cores, and of Python about forking beside threads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
        yield


@contextmanager
def deaths_named(*, receiving: bool = False) -> Iterator[None]:
    """An error that says what to do when a process that reads data has died.

    Torch raises one wherever the main process is. `receiving` from one, its broken connection may be the first sign; an
    error of the user's own code begins with "Caught".
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        told = isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
        broken = receiving and isinstance(error, OSError | EOFError)
        if not (told or broken) or str(error).startswith("Caught"):
            raise
        raise TrainingError(
            f"A process that reads the data died ({type(error).__name__}: {error}). Most often memory ran out: lower "
            "workers or batch_size, or read in this process with Plan(workers=0). What was saved is whole; "
            "resume(run) goes on from the last checkpoint."
        ) from error


# ---------------------------------------------------------------------- how many


def choose_workers(rows: AnyRows) -> tuple[int, str]:
    """How many processes should read the rows, and why.

    None where an item takes less than a millisecond, there is one core, or other processes cannot get the Dataset;
    else one per core, four at most. An IterableDataset is one stream: one process reads it ahead.
    """
    if isinstance(rows, StreamRows):
        cost = f"reading an item takes {1e3 * rows.item_seconds:.2g} ms"
        slow = rows.item_seconds > SLOW and usable_cores() > 1
        return (1, f"{cost}; one process reads the stream ahead") if slow else (0, cost)
    if not isinstance(rows, DatasetRows):
        return 0, "nothing is read item by item"
    seconds = item_seconds(rows)
    cost = f"reading an item takes {1e3 * seconds:.2g} ms"
    if seconds <= SLOW:
        return 0, f"{cost}, less than handing it over would save"
    if (cores := usable_cores()) < 2:
        return 0, f"{cost}, but there is one core only"
    if why := obstacle(rows):
        return 0, why
    return min(cores, MOST), f"{cost}; {cores} cores"


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def item_seconds(rows: DatasetRows) -> float:
    """The mean time of reading an item, the first one not counted, which may open files."""
    reader = Reader(rows, 0)
    positions = torch.linspace(0, len(rows) - 1, min(TRIAL_ITEMS, len(rows))).long().tolist()
    with unchanged_generators():
        reader.item(int(rows.ids[positions[0]]))
        started = time.perf_counter()
        count = 0
        while count < len(positions) and time.perf_counter() - started < TRIAL_SECONDS:
            reader.item(int(rows.ids[positions[count]]))
            count += 1
        return (time.perf_counter() - started) / count


def obstacle(rows: DatasetRows) -> str:
    """Why other processes cannot get the Dataset; empty where they can. A forked process has it without a copy."""
    method = multiprocessing.get_context().get_start_method()
    if method == "fork":
        return ""
    try:
        pickle.dumps(Reader(rows, 0))
    except Exception as error:  # pickling runs the Dataset's own code
        return (
            f"the Dataset or its collate function cannot be sent to other processes ({type(error).__name__}: {error}); "
            "this process reads it"
        )
    return ""

"""Reading by other processes: the same batches, the same errors, and a death that is named."""

import os
import random
import signal
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from thalweg.data import workers as workers_file
from thalweg.data.feeder import Feeder
from thalweg.data.generators import unchanged_generators
from thalweg.data.rows import DatasetRows, Inputs, Rows, leaves
from thalweg.data.workers import choose_workers, deaths_named, item_seconds, obstacle
from thalweg.errors import DataError, TrainingError


class Noisy(Dataset[Any]):
    """Items that draw from all three global generators, and do something special at one row."""

    def __init__(self, *, at: int = -1, action: Any = None) -> None:
        self.at, self.action = at, action

    def __len__(self) -> int:
        return 60

    def __getitem__(self, row: int) -> Any:
        if row == self.at:
            self.action()
        values = [row, float(torch.rand(())), np.random.rand(), random.random()]
        return torch.tensor(values, dtype=torch.float64), row % 3


def rows_of(dataset: Dataset[Any], **options: Any) -> DatasetRows:
    ids = torch.arange(10, 50)
    return DatasetRows(dataset, ids % 3, ids, "train", **options)


def batches(rows: DatasetRows, workers: int, *, size: int = 7, epochs: int = 2, skip: int = 0) -> list[list[Tensor]]:
    feeder = Feeder(rows, batch_size=size, seed=5, workers=workers)
    return [list(leaves([x, y])) for epoch in range(epochs) for x, y in feeder.epoch(epoch, skip=skip)]


def assert_equal(one: list[list[Tensor]], other: list[list[Tensor]]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert all(torch.equal(left, right) for left, right in zip(a, b, strict=True))


def interleave(items: list[Any]) -> Any:
    """A collate function that draws, too."""
    x = torch.stack([item[0] for item in items])
    return {"x": x, "noise": torch.rand(2)}, torch.tensor([item[1] for item in items])


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("skip", [0, 2])
def test_batches_do_not_depend_on_the_number_of_processes(workers: int, skip: int) -> None:
    rows = rows_of(Noisy())
    assert_equal(batches(rows, 0, skip=skip), batches(rows, workers, skip=skip))


def test_a_collate_function_runs_in_the_processes_and_draws_alike() -> None:
    def collate(items: list[Any]) -> Any:
        inputs, target = interleave(items)
        return (inputs["x"], inputs["noise"].expand(len(items), 2)), target

    rows = rows_of(Noisy(), collate=collate)
    assert_equal(batches(rows, 0), batches(rows, 2))


def test_items_do_not_depend_on_the_batch_size() -> None:
    def by_row(size: int, workers: int) -> dict[int, list[float]]:
        found = batches(rows_of(Noisy()), workers, size=size, epochs=1)
        return {int(row[0]): row[1:].tolist() for x, _ in found for row in x}

    assert by_row(7, 2) == by_row(16, 0)


def test_the_processes_stay_over_the_epochs() -> None:
    class Where(Noisy):
        def __getitem__(self, row: int) -> Any:
            return torch.tensor(float(os.getpid())), 0

    found = batches(rows_of(Where()), 2, epochs=3)
    pids = {int(value) for x, _ in found for value in x}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_a_second_look_at_an_epoch_under_way_leaves_the_first_alone() -> None:
    rows = rows_of(Noisy())
    feeder = Feeder(rows, batch_size=7, seed=5, workers=2)
    found = []
    for k, (x, y) in enumerate(feeder.epoch(0)):
        found.append([x, y])
        if k == 1:
            again = [[a, b] for a, b in feeder.epoch(0)]
    assert_equal(found, again)  # type: ignore[arg-type]
    assert_equal(found, batches(rows, 0, epochs=1))  # type: ignore[arg-type]


def test_an_epoch_left_early_does_not_reach_into_the_next() -> None:
    rows = rows_of(Noisy())
    feeder = Feeder(rows, batch_size=7, seed=5, workers=2)
    next(iter(feeder.epoch(0)))
    second = [[x, y] for x, y in feeder.epoch(1)]
    assert_equal(second, batches(rows, 0)[6:])  # type: ignore[arg-type]


def test_the_users_generators_are_left_as_found() -> None:
    torch.rand(3), np.random.rand(3), random.random()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index,union-attr]
    batches(rows_of(Noisy()), 2)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # type: ignore[index]
    assert before[2] == random.getstate()


def missing() -> None:
    raise FileNotFoundError("30.png")


def test_an_item_that_raises_is_named_as_without_processes() -> None:
    messages = []
    for workers in (0, 2):
        with pytest.raises(DataError) as caught:
            batches(rows_of(Noisy(at=30, action=missing)), workers)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].startswith("Row 30 of the Dataset cannot be read: FileNotFoundError: 30.png.")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its socket, which torch leaves open
@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_dies_is_named_with_what_to_do(workers: int) -> None:
    feeder = Feeder(rows_of(Noisy(at=45, action=die)), batch_size=7, seed=5, workers=workers)
    with (
        pytest.raises(TrainingError, match=r"A process that reads the data died.*Plan\(workers=0\).*resume\(run\)"),
        deaths_named(),  # as a session does, because torch raises it wherever the main process is
    ):
        list(feeder.epoch(0))


def test_the_error_of_a_death_says_what_to_do() -> None:
    with pytest.raises(TrainingError, match=r"memory ran out.*Plan\(workers=0\).*resume\(run\)"), deaths_named():
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    with pytest.raises(RuntimeError, match="something else"), deaths_named():
        raise RuntimeError("something else")


def test_processes_are_chosen_by_the_time_of_an_item(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(Noisy())
    monkeypatch.setattr(workers_file, "usable_cores", lambda: 8)
    assert choose_workers(rows)[0] == 0
    monkeypatch.setattr(workers_file, "SLOW", 1e-7)
    count, reason = choose_workers(rows)
    assert count == 4
    assert "8 cores" in reason
    monkeypatch.setattr(workers_file, "usable_cores", lambda: 1)
    count, reason = choose_workers(rows)
    assert count == 0
    assert "one core" in reason
    resident: Inputs = torch.zeros(3, 1)
    assert choose_workers(Rows(resident, torch.zeros(3), torch.arange(3), "train"))[0] == 0


def test_timing_items_draws_nothing_of_the_users() -> None:
    with unchanged_generators():
        torch.manual_seed(0)
        expected = torch.rand(2)
        torch.manual_seed(0)
        assert 0 < item_seconds(rows_of(Noisy())) < 0.01
        assert torch.equal(torch.rand(2), expected)


def test_a_dataset_that_cannot_be_sent_is_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(Noisy(action=lambda: None))
    assert obstacle(rows) == ""  # a forked process has it

    class Spawning:
        @staticmethod
        def get_start_method() -> str:
            return "spawn"

    monkeypatch.setattr(workers_file.multiprocessing, "get_context", Spawning)
    monkeypatch.setattr(workers_file, "SLOW", 0.0)
    monkeypatch.setattr(workers_file, "usable_cores", lambda: 2)
    count, reason = choose_workers(rows)
    assert count == 0
    assert "cannot be sent to other processes" in reason
    assert "pickle" in reason.lower()

"""DataLoaders and streams: repeated exactly, or said why not; passes, and what is refused."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset

from thalweg.data.feeder import Feeder
from thalweg.data.loaders import together, why_inexact
from thalweg.data.prepare import prepare
from thalweg.data.rows import BatchRows, DatasetRows, Rows, StreamRows, leaves
from thalweg.data.sample import at_hand, head, spread
from thalweg.data.seal import Seal
from thalweg.data.streams import Thinned
from thalweg.errors import DataError, UsageError

X = torch.arange(90.0).reshape(30, 3)
Y = torch.arange(30) % 3
HELD = (X[:9] + 0.5, Y[:9])
WIDE = (torch.zeros(9, 4), Y[:9])  # as wide as the noisy items


def loader(size: int = 4, **options: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(X, Y), batch_size=size, **options)


class Noisy(Dataset[Any]):
    def __len__(self) -> int:
        return 30

    def __getitem__(self, row: int) -> Any:
        noise = [float(torch.rand(())), np.random.rand(), random.random()]
        return torch.tensor([row, *noise], dtype=torch.float32), row % 3


class Lines(IterableDataset[Any]):
    """Items of a file of numbers, with noise; `lengths` are how many lines the iterations read."""

    def __init__(self, path: Path, lengths: tuple[int, ...] = ()) -> None:
        self.path, self.lengths, self.iterations = path, lengths, 0

    def __iter__(self) -> Iterator[Any]:
        lines = self.path.read_text().split()
        if self.lengths:
            lines = lines[: self.lengths[min(self.iterations, len(self.lengths) - 1)]]
        self.iterations += 1
        for line in lines:
            yield np.array([float(line), np.random.rand(), float(torch.rand(()))]), int(line) % 3


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.txt"
    path.write_text("\n".join(map(str, range(30))))
    return path


def prepared(tmp_path: Path, train: Any, **options: Any) -> Any:
    known: dict[str, Any] = {"validation": HELD, "test": False, "loss_name": "cross_entropy", "directory": tmp_path}
    return prepare(train, **{**known, **options})


def fed(feeder: Feeder, epoch: int, skip: int = 0) -> list[list[Tensor]]:
    return [list(leaves([x, y])) for x, y in feeder.epoch(epoch, skip)]


def same(one: list[list[Tensor]], other: list[list[Tensor]]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, b) for left, right in pairs for a, b in zip(left, right, strict=True))


# ---------------------------------------------------------------------- loaders


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shuffling_loader_without_a_generator_repeats_exactly(workers: int, tmp_path: Path) -> None:
    """In another process, that is: new loaders, and whatever state the global generators are in."""
    whole = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        own = DataLoader(Noisy(), batch_size=4, shuffle=True, num_workers=workers)
        rows = prepared(tmp_path, own, validation=WIDE).train
        assert isinstance(rows, BatchRows)
        assert rows.exact
        whole.append([fed(Feeder(rows, batch_size=1, seed=7), epoch) for epoch in range(2)])
    assert same(whole[0][0], whole[1][0])
    assert same(whole[0][1], whole[1][1])
    order = torch.cat([x[:, 0] for x, _ in whole[0][0]])
    assert order.sort().values.tolist() == list(range(30))
    assert not torch.equal(order, torch.cat([x[:, 0] for x, _ in whole[0][1]]))
    skipped = fed(Feeder(rows, batch_size=1, seed=7), 1, skip=3)
    assert same(skipped, whole[0][1][3:])


def test_a_loader_is_iterated_as_it_is(tmp_path: Path) -> None:
    sizes = [[0, 1, 2], [5], list(range(6, 20)), [3, 4]]
    own = DataLoader(TensorDataset(X, Y), batch_sampler=sizes)
    rows = prepared(tmp_path, own).train
    feeder = Feeder(rows, batch_size=64, seed=0)
    assert (len(feeder), len(rows), rows.sizes, rows.batch_size) == (4, 20, (3, 1, 14, 2), 3)
    for chosen, (x, y) in zip(sizes, feeder.epoch(0), strict=True):
        assert torch.equal(x, X[chosen])  # type: ignore[arg-type]
        assert torch.equal(y, Y[chosen])
    assert feeder.row_numbers(0, 1) == []


def test_the_users_generators_are_left_as_found(tmp_path: Path) -> None:
    own = DataLoader(Noisy(), batch_size=4, shuffle=True)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index,union-attr]
    rows = prepared(tmp_path, own, validation=WIDE).train
    for _ in Feeder(rows, batch_size=1, seed=7).epoch(0):
        assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # type: ignore[index]
    assert before[2] == random.getstate()


def test_what_cannot_be_repeated_is_told(tmp_path: Path) -> None:
    own = loader(shuffle=True, generator=torch.Generator())
    data = prepared(tmp_path, own)
    assert not data.train.exact
    assert "resume not exact: its DataLoader draws from a generator of its own" in data.split["notes"][0]
    sampler = RandomSampler(range(30), generator=torch.Generator())
    assert "RandomSampler" in why_inexact(loader(sampler=sampler))
    assert "persistent_workers" in why_inexact(loader(num_workers=1, persistent_workers=True))
    assert why_inexact(loader(shuffle=True)) == ""


def test_a_sampler_is_told_the_epoch(tmp_path: Path) -> None:
    class Rotating(torch.utils.data.Sampler[int]):
        def __init__(self) -> None:
            self.epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __iter__(self) -> Iterator[int]:
            return iter([(k + self.epoch) % 30 for k in range(30)])

        def __len__(self) -> int:
            return 30

    rows = prepared(tmp_path, loader(sampler=Rotating())).train
    first = [float(next(iter(Feeder(rows, batch_size=1, seed=0).epoch(epoch)))[0][0, 0]) for epoch in (0, 2, 1)]  # type: ignore
    assert first == [0.0, 6.0, 3.0]


def test_a_second_look_at_an_epoch_of_persistent_workers(tmp_path: Path) -> None:
    rows = prepared(tmp_path, loader(num_workers=1, persistent_workers=True)).train
    feeder, found = Feeder(rows, batch_size=1, seed=0), []
    for k, (x, _) in enumerate(feeder.epoch(0)):
        found.append(x)
        if k == 2:
            again = [x for x, _ in feeder.epoch(0)]
    assert torch.equal(torch.cat(found), X)  # type: ignore[arg-type]
    assert torch.equal(torch.cat(again), X)  # type: ignore[arg-type]


def test_parts_must_be_given(tmp_path: Path) -> None:
    for part, options in (
        ("validation", {"validation": None}),
        ("validation", {"validation": 0.2}),
        ("test", {"test": None}),
        ("test", {"test": 0.3}),
    ):
        with pytest.raises(UsageError, match=rf"train is a DataLoader.*{part}.*or pass train=loader.dataset"):
            prepared(tmp_path, loader(), **options)
    with pytest.raises(UsageError, match="collate_fn of its own"):
        prepared(tmp_path, loader(), collate=list)
    with pytest.raises(UsageError, match="speak of rows"):
        prepared(tmp_path, loader(), groups=[0] * 30)


def test_all_parts_may_be_loaders(tmp_path: Path) -> None:
    data = prepared(tmp_path, loader(), validation=loader(9), test=loader(10))
    assert data.description == "30/30 rows, 30 sealed"
    assert data.split["classes"]["1"] == {"train": 10, "validation": 10, "test": 10}
    assert data.split["given"] == ["validation", "test"]
    assert sum("one pass over the" in note for note in data.split["notes"]) == 3
    assert isinstance(data.test, Seal)
    other = Seal(prepared(tmp_path, loader(), test=loader(10, shuffle=True)).test.open("x"), log=tmp_path / "other")
    assert len(other.digest) == 64


def test_labels_of_a_loader_are_numbered(tmp_path: Path) -> None:
    own = DataLoader(TensorDataset(X, Y * 2 + 3), batch_size=7)
    data = prepared(tmp_path, own, validation=(HELD[0], HELD[1] * 2 + 3))
    assert data.task.classes == (3, 5, 7)
    assert torch.equal(torch.cat([y for _, y in Feeder(data.train, batch_size=1, seed=0).epoch(0)]), Y)


def test_more_classes_in_validation_than_in_training(tmp_path: Path) -> None:
    few = DataLoader(TensorDataset(X, Y % 2), batch_size=7)
    for held in (HELD, loader(), TensorDataset(X[:9], Y[:9])):
        with pytest.raises(DataError, match=r"In the validation data.* label 2 "):
            prepared(tmp_path, few, validation=held)
    with pytest.raises(DataError, match=r"In the validation data.* label 2 "):
        prepared(tmp_path, Even(), validation=Noisy())
    with pytest.raises(UsageError, match=r"In the validation data: A DataLoader is not supported here.*train is one"):
        prepared(tmp_path, Even(), validation=loader())


class Even(Noisy):
    def __getitem__(self, row: int) -> Any:
        return super().__getitem__(row)[0], row % 2


@pytest.mark.parametrize("empty", [[], "dropped"])
def test_a_loader_that_yields_nothing(empty: Any, tmp_path: Path) -> None:
    nothing = loader(64, drop_last=True) if empty == "dropped" else DataLoader(TensorDataset(X, Y), batch_sampler=[])
    with pytest.raises(DataError, match=r"The train DataLoader yields nothing.*drop_last"):
        prepared(tmp_path, nothing)
    with pytest.raises(DataError, match=r"In the validation data: The validation DataLoader yields nothing"):
        prepared(tmp_path, loader(), validation=nothing)


def test_an_empty_dataset_as_validation(tmp_path: Path) -> None:
    for train in (loader(), Noisy()):
        with pytest.raises(DataError, match=r"In the validation data: The data have no rows"):
            prepared(tmp_path, train, validation=TensorDataset(X[:0], Y[:0]), test=False)


def test_batches_of_another_structure(tmp_path: Path) -> None:
    def mixed(items: list[Any]) -> Any:
        x, y = torch.stack([i[0] for i in items]), torch.stack([i[1] for i in items])
        return ({"x": x}, y) if x[0, 0] == 36 else (x, y)

    with pytest.raises(DataError, match=r"Batch 3 of the train DataLoader is a tuple of 2.*Give all batches the same"):
        prepared(tmp_path, loader(collate_fn=mixed))


def test_batches_that_are_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Batch 0 of the train DataLoader is a list of 1\. Give pairs .* step="):
        prepared(tmp_path, DataLoader(TensorDataset(X), batch_size=4))
    with pytest.raises(DataError, match="dimension 0 must count"):
        prepared(tmp_path, loader(collate_fn=lambda items: (torch.zeros(9, 3), torch.zeros(len(items)).long())))


def test_an_item_of_a_loader_that_raises(tmp_path: Path) -> None:
    class Broken(Noisy):
        def __getitem__(self, row: int) -> Any:
            if row == 9:
                raise OSError("disk")
            return super().__getitem__(row)

    for workers in (0, 1):
        with pytest.raises(DataError, match=r"Batch 2 of the train DataLoader cannot be read: OSError: .*disk"):
            prepared(tmp_path, DataLoader(Broken(), batch_size=4, num_workers=workers))


def test_an_epoch_of_another_length(tmp_path: Path) -> None:
    class Shrinking(torch.utils.data.Sampler[int]):
        rows = 30

        def __iter__(self) -> Iterator[int]:
            return iter(range(self.rows))

    sampler = Shrinking()
    rows = prepared(tmp_path, loader(sampler=sampler)).train
    for count, words in ((21, "gave 6 batches in epoch 2, 8 were expected.*batch 6 differs"), (60, "gave more than 8")):
        sampler.rows = count
        if count == 60:
            sampler.rows = 30
            rows = prepared(tmp_path, loader(sampler=sampler)).train
            rows.batches.dataset.tensors = (X.repeat(2, 1), Y.repeat(2))
            sampler.rows = 60
        with pytest.raises(DataError, match=words):
            list(Feeder(rows, batch_size=1, seed=0).epoch(1))


def test_a_long_loader_without_targets_is_not_passed_over_whole(tmp_path: Path) -> None:
    read = []

    class Long(Dataset[Any]):
        def __len__(self) -> int:
            return 50_000

        def __getitem__(self, row: int) -> Any:
            read.append(row)
            return {"x": torch.zeros(2)}

    data = prepared(tmp_path, DataLoader(Long(), batch_size=100), step=lambda m, b: None, loss_name=None)
    assert (len(data.train), len(Feeder(data.train, batch_size=1, seed=0))) == (50_000, 500)
    assert len(read) < 3000
    assert "about 50,000 rows" in data.split["notes"][0]


# ---------------------------------------------------------------------- streams


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_repeats_exactly_whatever_the_batches_and_processes(workers: int, file: Path, tmp_path: Path) -> None:
    rows = prepared(tmp_path, Lines(file)).train
    assert isinstance(rows, StreamRows)
    whole = fed(Feeder(rows, batch_size=7, seed=3), 1)
    assert [len(y) for _, y in whole] == [7, 7, 7, 7, 2]
    assert whole[0][0].dtype == torch.float32
    assert same(fed(Feeder(rows, batch_size=7, seed=3, workers=workers), 1, skip=2), whole[2:])
    single = fed(Feeder(rows, batch_size=30, seed=3, workers=workers), 1)
    assert torch.equal(single[0][0], torch.cat([x for x, _ in whole]))
    assert not torch.equal(single[0][0], fed(Feeder(rows, batch_size=30, seed=3), 2)[0][0])


def test_a_stream_that_runs_out_or_over(file: Path, tmp_path: Path) -> None:
    for second in (20, 30):
        rows = prepared(tmp_path, Lines(file, lengths=(25, second))).train
        with pytest.raises(DataError, match=rf"gave {second} items in epoch 2 and 25 in the first pass"):
            list(Feeder(rows, batch_size=4, seed=0).epoch(1))
    with pytest.raises(DataError, match="yields nothing"):
        prepared(tmp_path, Lines(file, lengths=(0,)))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_item_of_a_stream_that_raises(workers: int, file: Path, tmp_path: Path) -> None:
    rows = prepared(tmp_path, Lines(file)).train
    file.write_text(file.read_text().replace("\n11\n", "\nmoon\n"))
    with pytest.raises(DataError, match=r"Item 11 of the Lines \(counted from 0\) cannot be read: ValueError: .*moon"):
        list(Feeder(rows, batch_size=4, seed=0, workers=workers).epoch(0))


def test_a_generator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can only be iterated"):
        prepared(tmp_path, ((x, y) for x, y in zip(X, Y, strict=True)))


# ---------------------------------------------------------------------- samples


def test_a_sample_is_spread_over_the_whole_length() -> None:
    thinned = Thinned()
    for number in range(10_000):
        thinned.offer(number, torch.zeros(2), rows=1)
    kept = list(thinned.values)
    assert 512 <= len(kept) <= 1024
    assert len(set(np.diff(kept))) == 1
    assert kept[-1] > 9900
    large = Thinned()
    for number in range(64):
        large.offer(number, torch.zeros(2**20), rows=1)  # 4 MiB each
    assert sum(value.nbytes for value in large.values.values()) <= 64 * 2**20


def test_the_sample_of_a_loader_is_resident_where_its_batches_fit_together(tmp_path: Path) -> None:
    rows = prepared(tmp_path, loader()).train
    some = at_hand(rows)
    assert isinstance(some, Rows)
    assert torch.equal(some.inputs, X)  # type: ignore[arg-type]
    assert isinstance(head(rows, 7), Rows)

    def ragged(items: list[Any]) -> Any:
        width = 1 + int(items[0][0][0]) % 5
        return torch.zeros(len(items), width), torch.stack([item[1] for item in items])

    apart = at_hand(prepared(tmp_path, loader(collate_fn=ragged)).train)
    assert isinstance(apart, BatchRows)
    assert len(head(apart, 7)) == 4
    feeder = Feeder(apart, batch_size=1, seed=0)
    shapes = [tuple(x.shape) for x, _ in feeder.epoch(0)]  # type: ignore[union-attr]
    assert sorted(shapes) == sorted(tuple(x.shape) for x, _ in feeder.epoch(1))  # type: ignore[union-attr]
    assert shapes != [tuple(x.shape) for x, _ in feeder.epoch(1)]  # type: ignore[union-attr]


def test_the_sample_of_a_stream_is_read_item_by_item(file: Path, tmp_path: Path) -> None:
    rows = prepared(tmp_path, Lines(file)).train
    some = spread(rows, 4)
    assert isinstance(some, DatasetRows)
    assert some.ids.tolist() == [0, 9, 19, 29]
    ((x, y),) = Feeder(some, batch_size=4, seed=0, shuffle=False).epoch(0)
    assert x[:, 0].tolist() == [0, 9, 19, 29]  # type: ignore[index,call-overload]
    assert y.tolist() == [0, 0, 1, 2]


def test_targets_of_different_lengths_are_filled_up() -> None:
    joined = together([torch.tensor([[1, 2]]), torch.tensor([[3, 4, 5]])])
    assert joined.tolist() == [[1, 2, -100], [3, 4, 5]]  # type: ignore[union-attr]
    assert together([torch.zeros(1, 2), torch.zeros(1, 3)]) is None

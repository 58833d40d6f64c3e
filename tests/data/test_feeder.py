import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from thalweg.data import feeder as feeder_file
from thalweg.data.feeder import Feeder
from thalweg.data.rows import Batch, DatasetRows, Inputs, Rows, num_rows, take, tensors_of
from thalweg.errors import DataError, UsageError


def make_rows(count: int = 103) -> Rows:
    x = torch.arange(count * 3, dtype=torch.float32).reshape(count, 3)
    return Rows(x, torch.arange(count), torch.arange(count) + 1000, "train")


def concat(batches: Iterator[tuple[Inputs, Tensor]]) -> tuple[Tensor, Tensor]:
    xs, ys = zip(*((x, y) for x, y in batches), strict=True)
    return torch.cat(xs), torch.cat(ys)


def states() -> tuple[object, ...]:
    numpy_state = np.random.get_state(legacy=True)
    return torch.get_rng_state().tolist(), [np.asarray(v).tolist() for v in numpy_state], random.getstate()


class Noisy(Dataset[tuple[object, object]]):
    """Items whose augmentation draws from all three global generators."""

    def __init__(self, form: str = "tensor") -> None:
        self.form = form
        self.read: list[int] = []

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> tuple[object, object]:
        self.read.append(index)
        value = torch.tensor([index, float(torch.rand(())), np.random.rand(), random.random()], dtype=torch.float64)
        forms = {
            "tensor": value,
            "tuple": (value, value[:1]),
            "dict": {"a": value, "b": value[:1]},
            "array": value.numpy(),
        }
        return forms[self.form], -1


def dataset_rows(dataset: Dataset[tuple[object, object]], ids: Tensor | None = None) -> DatasetRows:
    ids = torch.arange(10, 40) if ids is None else ids
    return DatasetRows(dataset, ids * 2, ids, "train")


def test_batches_equal_the_handwritten_loop() -> None:
    rows = make_rows()
    assert isinstance(rows.inputs, Tensor)
    feeder = Feeder(rows, batch_size=8, seed=4)
    order = feeder.order(2)
    expected = list(zip(rows.inputs[order].split(8), rows.target[order].split(8), strict=True))
    batches = list(feeder.epoch(2))
    assert len(batches) == len(expected) == len(feeder) == 13
    for (x, y), (x_expected, y_expected) in zip(batches, expected, strict=True):
        assert torch.equal(x, x_expected)
        assert torch.equal(y, y_expected)


def test_the_order_is_a_permutation_given_by_seed_and_epoch() -> None:
    feeder = Feeder(make_rows(), batch_size=8, seed=4)
    orders = [feeder.order(epoch) for epoch in range(50)]
    assert all(torch.equal(order.sort().values, torch.arange(103)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 50
    assert torch.equal(orders[7], Feeder(make_rows(), batch_size=16, seed=4).order(7))
    assert not torch.equal(orders[7], Feeder(make_rows(), batch_size=8, seed=5).order(7))


def test_every_row_is_equally_likely_at_every_place() -> None:
    feeder = Feeder(make_rows(10), batch_size=2, seed=0)
    hits = torch.zeros(10, 10)
    for epoch in range(2000):
        hits[torch.arange(10), feeder.order(epoch)] += 1
    chi_square = float(((hits - 200) ** 2 / 200).sum())
    assert 40 < chi_square < 140  # 81 degrees of freedom: mean 81, standard deviation 12.7


def test_without_shuffling_rows_come_in_their_order() -> None:
    x, y = concat(Feeder(make_rows(), batch_size=8, seed=4, shuffle=False).epoch(3))
    assert torch.equal(y, torch.arange(103))
    assert torch.equal(x, tensors_of(make_rows().inputs)[0])


@pytest.mark.parametrize("kind", ["resident", "dataset"])
@pytest.mark.parametrize("skip", [0, 1, 3, 4, 9])
def test_skipping_continues_the_same_epoch(kind: str, skip: int) -> None:
    rows = make_rows(30) if kind == "resident" else dataset_rows(Noisy())
    feeder = Feeder(rows, batch_size=8, seed=4)
    whole, rest = list(feeder.epoch(1)), list(feeder.epoch(1, skip=skip))
    assert len(rest) == max(4 - skip, 0)
    for (x, y), (x_expected, y_expected) in zip(rest, whole[skip:], strict=True):
        assert torch.equal(x, x_expected)  # type: ignore[arg-type]
        assert torch.equal(y, y_expected)


def test_a_skipped_dataset_row_is_not_read() -> None:
    dataset = Noisy()
    list(Feeder(dataset_rows(dataset), batch_size=8, seed=4).epoch(1, skip=3))
    assert len(set(dataset.read)) == 6  # twice, because the first batch has shown that items draw


@pytest.mark.parametrize("kind", ["resident", "dataset"])
def test_the_users_generators_are_left_as_found(kind: str) -> None:
    rows = make_rows() if kind == "resident" else dataset_rows(Noisy())
    feeder = Feeder(rows, batch_size=8, seed=4)
    torch.rand(3), np.random.rand(3), random.random()
    before = states()
    for _ in feeder.epoch(1):
        assert states() == before
    assert states() == before


def test_the_users_draws_between_batches_change_nothing() -> None:
    feeder = Feeder(dataset_rows(Noisy()), batch_size=8, seed=4)
    quiet, _ = concat(feeder.epoch(1))
    loud = []
    for x, _ in feeder.epoch(1):
        torch.rand(5), np.random.rand(), random.random()
        loud.append(x)
    assert torch.equal(torch.cat(loud), quiet)  # type: ignore[arg-type]


@pytest.mark.parametrize("block_bytes", [1, 16 * 8 * 2, 16 * 8 * 3 + 5])
def test_an_epoch_larger_than_a_block_comes_in_whole_batches(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    feeder = Feeder(make_rows(), batch_size=8, seed=4)
    whole = list(feeder.epoch(0))
    monkeypatch.setattr(feeder_file, "BLOCK_BYTES", block_bytes)
    blocks = []
    cut = Feeder(make_rows(), batch_size=8, seed=4, transform=lambda x: blocks.append(len(tensors_of(x)[0])) or x)
    for (x, y), (x_expected, y_expected) in zip(cut.epoch(0), whole, strict=True):
        assert torch.equal(x, x_expected)  # type: ignore[arg-type]
        assert torch.equal(y, y_expected)
    assert sum(blocks) == 103
    assert all(block % 8 == 0 and block * 20 <= max(block_bytes, 8 * 20) for block in blocks[:-1])


def test_no_gather_is_larger_than_its_block() -> None:
    rows = Rows(torch.zeros(70_000, 784, dtype=torch.uint8), torch.zeros(70_000), torch.arange(70_000), "train")
    sizes = []
    list(Feeder(rows, batch_size=128, seed=0, transform=lambda x: sizes.append(len(x)) or x.float()).epoch(0))  # type: ignore
    assert sizes[0] * 784 * 4 <= 4 * 2**20  # as floats, after the transform
    assert sizes[0] * 784 * 4 > 3.6 * 2**20


def test_batches_are_copies_that_may_be_changed_in_place() -> None:
    rows = make_rows()
    kept = tensors_of(rows.inputs)[0].clone()
    for x, y in Feeder(rows, batch_size=8, seed=0, shuffle=False).epoch(0):
        x.zero_()  # type: ignore[union-attr]
        y.zero_()
    assert torch.equal(tensors_of(rows.inputs)[0], kept)
    assert torch.equal(rows.target, torch.arange(103))


@pytest.mark.parametrize("kind", ["resident", "dataset"])
@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_tuple_and_dict_inputs_keep_their_form(kind: str, form: str) -> None:
    a, b = torch.arange(30.0)[:, None] + 10, torch.arange(30) + 10
    inputs: Inputs = (a, b) if form == "tuple" else {"a": a, "b": b}
    rows = Rows(inputs, b * 2, b, "train") if kind == "resident" else dataset_rows(Noisy(form))
    for x, y in Feeder(rows, batch_size=8, seed=4).epoch(1):
        assert isinstance(x, tuple if form == "tuple" else dict)
        if isinstance(x, dict):
            assert list(x) == ["a", "b"]
        first, second = tensors_of(x)
        assert torch.equal(first[:, 0].long() * 2, y)
        assert torch.equal(second.flatten().long() * 2, y)


def test_transforms_act_once_per_block_without_gradient() -> None:
    weight = torch.tensor(2.0, requires_grad=True)
    calls = []

    def transform(x: Inputs) -> Inputs:
        calls.append(len(tensors_of(x)[0]))
        return tensors_of(x)[0] * weight

    feeder = Feeder(make_rows(), batch_size=8, seed=4, transform=transform, target_transform=lambda y: y * 10)
    plain_x, plain_y = concat(Feeder(make_rows(), batch_size=8, seed=4).epoch(0))
    x, y = concat(feeder.epoch(0))
    assert calls == [103]
    assert torch.equal(x, plain_x * 2)
    assert torch.equal(y, plain_y * 10)
    assert not x.requires_grad
    for _ in feeder.epoch(0):
        assert torch.is_grad_enabled()


def test_dataset_items_are_seeded_by_seed_epoch_and_row() -> None:
    def noise(seed: int, epoch: int, batch_size: int, ids: Tensor) -> dict[int, list[float]]:
        x, _ = concat(Feeder(dataset_rows(Noisy(), ids), batch_size=batch_size, seed=seed).epoch(epoch))
        return {int(row[0]): row[1:].tolist() for row in x}

    base = noise(1, 0, 8, torch.arange(10, 40))
    assert base == noise(1, 0, 5, torch.arange(10, 40))
    few = noise(1, 0, 8, torch.arange(20, 25))
    assert few == {row: base[row] for row in few}
    for other in (noise(2, 0, 8, torch.arange(10, 40)), noise(1, 1, 8, torch.arange(10, 40))):
        assert all(a != b for row in base for a, b in zip(base[row], other[row], strict=True))
    for generator in range(3):
        assert len({values[generator] for values in base.values()}) == 30


def test_dataset_rows_come_in_the_order_with_their_targets() -> None:
    feeder = Feeder(dataset_rows(Noisy("array"), torch.tensor([7, 3, 30, 4])), batch_size=3, seed=0)
    x, y = concat(feeder.epoch(5))
    ids = torch.tensor([7, 3, 30, 4])[feeder.order(5)]
    assert torch.equal(x[:, 0].long(), ids)
    assert torch.equal(y, ids * 2)


def test_an_item_that_raises_is_named() -> None:
    class Broken(Noisy):
        def __getitem__(self, index: int) -> tuple[object, object]:
            if index == 17:
                raise FileNotFoundError("17.png")
            return super().__getitem__(index)

    before = states()
    with pytest.raises(DataError, match=r"Row 17 of the Dataset .* FileNotFoundError: 17\.png") as caught:
        list(Feeder(dataset_rows(Broken()), batch_size=8, seed=4).epoch(0))
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert states() == before


def test_items_that_cannot_be_stacked_are_named() -> None:
    class Ragged(Noisy):
        def __getitem__(self, index: int) -> tuple[object, object]:
            return torch.zeros(index), 0

    with pytest.raises(DataError, match=r"rows \d+, .* cannot be stacked .* crop, resize or pad"):
        list(Feeder(dataset_rows(Ragged()), batch_size=8, seed=4).epoch(0))


def test_a_batch_size_below_one() -> None:
    with pytest.raises(UsageError, match="batch_size got 0"):
        Feeder(make_rows(), batch_size=0, seed=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_arrive_on_the_gpu() -> None:
    plain = concat(Feeder(make_rows(), batch_size=8, seed=4).epoch(0))
    moved = concat(Feeder(make_rows(), batch_size=8, seed=4, device="cuda").epoch(0))
    for here, there in zip(plain, moved, strict=True):
        assert there.device.type == "cuda"
        assert torch.equal(here, there.cpu())


@pytest.mark.parametrize("kind", ["resident", "dataset"])
def test_weights_come_in_the_order_of_the_batches(kind: str) -> None:
    ids = torch.arange(30)
    x = ids[:, None].float()
    weighted = {"weights": ids.float() / 10}
    rows = Rows(x, ids, ids, "train", **weighted) if kind == "resident" else None
    feeder = Feeder(
        rows or DatasetRows(list(zip(x, ids, strict=True)), ids, ids, "train", **weighted), batch_size=8, seed=4
    )
    for skip in (0, 2):
        pairs = list(zip(feeder.epoch(1, skip), feeder.weights(1, skip), strict=True))
        assert len(pairs) == 4 - skip
        for (_, target), weight in pairs:
            assert torch.equal(weight, target.float() / 10)
            assert weight.dtype == torch.float32


def test_row_numbers_are_those_of_the_batch() -> None:
    feeder = Feeder(make_rows(), batch_size=8, seed=4)
    numbers = [feeder.row_numbers(3, batch) for batch in range(len(feeder))]
    assert numbers == [(target + 1000).tolist() for _, target in feeder.epoch(3)]


def test_a_step_of_the_users_own_gets_inputs_and_target() -> None:
    rows = make_rows(20)
    stepped = Rows(rows.inputs, rows.target, rows.ids, "train", step=lambda model, batch: batch)
    plain = list(Feeder(rows, batch_size=8, seed=4, transform=lambda x: tensors_of(x)[0] * 2).epoch(0))
    wrapped = list(Feeder(stepped, batch_size=8, seed=4, transform=lambda x: tensors_of(x)[0] * 2).epoch(0))
    for (x, y), (batch, target) in zip(plain, wrapped, strict=True):
        assert isinstance(batch, Batch)
        assert torch.equal(batch.value[0], x)  # type: ignore[arg-type]
        assert torch.equal(batch.value[1], y)
        assert torch.equal(target, y)
        few = take(batch, torch.tensor([2, 0]))
        assert isinstance(few, Batch)
        assert torch.equal(few.value[1], y[[2, 0]])
        assert num_rows(few) == 2

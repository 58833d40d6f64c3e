"""Batches in pieces: the gradient, the count of updates and the epoch's mean are those of the whole."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.data.feeder import Feeder
from thalweg.data.rows import Batch, Rows, call
from thalweg.store import Store, Writer
from thalweg.train.clipping import Clipping
from thalweg.train.evaluation import measure_batches, pieces
from thalweg.train.loop import Job, Training
from thalweg.train.losses import NAMED, LossFunction, WeightedLoss, resolve_loss
from thalweg.train.step import Step

torch.set_num_threads(1)
Plain = tw.optimizers.SGD(lr=0.1)


def network(outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, outputs)).double()


class PerPosition(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(7, 6), nn.Linear(6, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embed(x)))


def gradients(model: nn.Module, loss: LossFunction, window: list[tuple[Any, ...]]) -> tuple[Tensor, list[Tensor]]:
    step = Step(copy.deepcopy(model), loss, Plain)
    value, found = step.loss_and_gradients(window, step=0)
    return value, [g for g in found if g is not None]


def cut(batch: tuple[Tensor, ...], sizes: list[int]) -> list[tuple[Tensor, ...]]:
    return list(zip(*(torch.split(value, sizes) for value in batch), strict=True))


def assert_pieces_equal_the_whole(model: nn.Module, loss: LossFunction, batch: tuple[Tensor, ...]) -> None:
    whole, expected = gradients(model, loss, [batch])
    rows = len(batch[0])
    for sizes in ([rows - 5, 5], [1, 2, rows - 3], [1] * rows):
        value, found = gradients(model, loss, cut(batch, sizes))
        torch.testing.assert_close(value, whole, rtol=1e-12, atol=0)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-14)


def rows(count: int, outputs: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(count, 5, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, outputs, (count,), generator=generator)


def sequences(count: int) -> tuple[Tensor, Tensor]:
    """Of very different lengths: some rows have no position that counts."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 7, (count, 9), generator=generator)
    target = torch.randint(0, 7, (count, 9), generator=generator)
    lengths = torch.randint(0, 10, (count,), generator=generator)
    lengths[:3] = torch.tensor([0, 9, 1])
    return x, target.where(torch.arange(9) < lengths[:, None], -100)


def weights(count: int) -> Tensor:
    found = torch.rand(count, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found[1] = 0.0
    return found


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "binary_cross_entropy"])
def test_batches_of_unequal_sizes_are_the_one_big_batch(name: str) -> None:
    x, y = rows(17, 2)
    target = y if name == "cross_entropy" else F.one_hot(y, 3).double()
    assert_pieces_equal_the_whole(network(), NAMED[name], (x, target))


def test_positions_that_count_are_the_items() -> None:
    x, target = sequences(12)
    model = PerPosition().double()
    assert_pieces_equal_the_whole(model, NAMED["cross_entropy"], (x, target))
    # and the whole is torch's own
    value, found = gradients(model, NAMED["cross_entropy"], [(x, target)])
    expected = F.cross_entropy(model(x).transpose(1, 2), target)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=0)
    for a, b in zip(found, torch.autograd.grad(expected, list(model.parameters())), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-14)


def test_weights_of_rows_are_the_items() -> None:
    x, y = rows(17)
    batch = x, y, weights(17)
    assert_pieces_equal_the_whole(network(), NAMED["cross_entropy"], batch)
    value, _ = gradients(network(), NAMED["cross_entropy"], cut(batch, [4, 13]))
    each = F.cross_entropy(network()(x), y, reduction="none")
    torch.testing.assert_close(value, (each * batch[2]).sum().detach() / batch[2].sum(), rtol=1e-12, atol=0)
    assert_pieces_equal_the_whole(network(), WeightedLoss(nn.CrossEntropyLoss(label_smoothing=0.1)), batch)


def test_weighted_rows_of_positions() -> None:
    x, target = sequences(12)
    batch = x, target, weights(12)
    model = PerPosition().double()
    assert_pieces_equal_the_whole(model, NAMED["cross_entropy"], batch)
    each = F.cross_entropy(model(x).transpose(1, 2), target, reduction="none")
    counted = (target != -100) * batch[2][:, None]
    value, _ = gradients(model, NAMED["cross_entropy"], cut(batch, [4, 8]))
    torch.testing.assert_close(value, (each * counted).sum().detach() / counted.sum(), rtol=1e-12, atol=0)


def test_a_loss_of_ones_own_with_weights_gets_three_arguments() -> None:
    seen = []

    def own(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        seen.append(len(weight))
        return (F.cross_entropy(output, target, reduction="none") * weight).sum() / weight.sum()

    x, y = rows(9)
    batch = x, y, weights(9) + 0.1
    assert_pieces_equal_the_whole(network(), own, batch)
    assert set(seen) == {9, 4, 5, 1, 2, 6}


def test_a_window_in_which_nothing_counts_moves_nothing() -> None:
    x, target = sequences(4)
    empty = torch.full_like(target, -100)
    model = PerPosition()
    value, found = gradients(model, NAMED["cross_entropy"], [(x[:2], empty[:2]), (x[2:], empty[2:])])
    alone, _ = gradients(model, NAMED["cross_entropy"], [(x, empty)])
    assert float(value) == float(alone) == 0.0
    assert all(bool((g == 0).all()) for g in found)


def test_a_step_of_the_users_own_is_accumulated_by_its_rows() -> None:
    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return F.cross_entropy(model(x), y)

    x, y = rows(17)
    loss, _ = resolve_loss(lambda output, target: output.loss)
    windows = [(Batch(part, step), part[1]) for part in cut((x, y), [3, 14])]
    value, found = gradients(network(), loss, windows)
    whole, expected = gradients(network(), F.cross_entropy, [(x, y)])
    assert call(network(), windows[0][0]).loss.dim() == 0  # type: ignore[attr-defined]
    torch.testing.assert_close(value, whole, rtol=1e-12, atol=0)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-14)


def test_clipping_and_momentum_see_the_gradient_of_the_window() -> None:
    part = tw.optimizers.SGD(lr=0.1, momentum=0.9, weight_decay=0.01)
    models = network(), network()
    steps = [Step(model, F.cross_entropy, part, clipping=Clipping(norm=0.1)) for model in models]
    batch = rows(17)
    for k in range(10):
        steps[0]([batch], step=k, rate=0.1)
        steps[1](cut(batch, [8, 8, 1]), step=k, rate=0.1)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


# ---------------------------------------------------------------------- whole trainings


def training(tmp_path: Path, plan: tw.Plan, data: tuple[Tensor, ...], *, loss: LossFunction, name: str) -> Training:
    def fed(part: str, size: int) -> Feeder:
        count = len(data[0])
        given = Rows(data[0], data[1], torch.arange(count), part, *data[2:])  # type: ignore[arg-type]
        return Feeder(given, batch_size=size, seed=0, shuffle=part == "train")

    assert isinstance(plan.batch_size, int)
    store = Store(tmp_path / f"{name}.sqlite", create=True)
    job = Job(
        network=network(),
        loss=loss,
        plan=plan,
        train=fed("train", plan.batch_size),
        validation=fed("validation", 4),
        metrics=[],
        folder=tmp_path / name,
        writer=Writer(store),
    )
    return Training(job)


def test_a_sum_of_sixteens_is_a_batch_of_sixty_four(tmp_path: Path) -> None:
    """150 rows: windows of 64, 64 and 22, the last of 16 and 6; the order of the rows is the same."""
    base = tw.Plan.plain(optimizer=tw.optimizers.AdamW(lr=0.01), epochs=3, batch_size=64, seed=0)
    base = base.replace(schedule=tw.schedules.WarmupCosine(), clip_norm=0.5)
    found = {}
    for name, plan in {"whole": base, "pieces": base.replace(batch_size=16, accumulate=4)}.items():
        trained = training(tmp_path, plan, rows(150), loss=NAMED["cross_entropy"], name=name)
        assert (trained.steps_per_epoch, trained.num_steps) == (3, 9)
        assert trained.run() == "completed"
        readings = trained.job.writer.store.readings()
        means = [r.value for r in readings if r.name == "train.loss"]
        rates = [r.value for r in readings if r.name == "rate"]
        found[name] = trained.job.network, means, rates
    for a, b in zip(found["whole"][0].parameters(), found["pieces"][0].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    assert found["whole"][1] == pytest.approx(found["pieces"][1], rel=1e-10)
    assert found["whole"][2] == found["pieces"][2]


@pytest.mark.parametrize(("count", "size", "accumulate"), [(150, 16, 4), (33, 8, 2), (10, 3, 5), (7, 64, 3)])
def test_schedules_count_updates(tmp_path: Path, count: int, size: int, accumulate: int) -> None:
    plan = tw.Plan.plain(optimizer=Plain, epochs=2, batch_size=size, accumulate=accumulate, seed=0)
    trained = training(tmp_path, plan, rows(count), loss=NAMED["cross_entropy"], name="run")
    updates = math.ceil(math.ceil(count / size) / accumulate)
    assert trained.steps_per_epoch == updates
    assert trained.num_steps == 2 * updates
    windows = list(trained.windows(0))
    assert [len(window) for window in windows[:-1]] == [accumulate] * (updates - 1)
    assert sum(len(y) for window in windows for _, y in window) == count  # no row is dropped
    for skip in range(updates):
        rest = list(trained.windows(0, skip))
        assert len(rest) == updates - skip
        assert torch.equal(rest[0][0][0], windows[skip][0][0])


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("kind", ["rows", "weights"])
def test_the_epochs_mean_is_that_of_all_rows(tmp_path: Path, kind: str, accumulate: int) -> None:
    """At a rate that moves nothing, the mean over the epoch is the mean over the rows; 150 in batches of 16 leave 6."""
    data = (*rows(150), weights(150)) if kind == "weights" else rows(150)
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=1e-300), epochs=1, batch_size=16, accumulate=accumulate, seed=0)
    trained = training(tmp_path, plan, data, loss=NAMED["cross_entropy"], name="run")
    trained.run()
    each = F.cross_entropy(network()(data[0]), data[1], reduction="none").detach()
    weight = data[2].double() if kind == "weights" else torch.ones(150, dtype=torch.float64)
    expected = float((each * weight).sum() / weight.sum())
    readings = trained.job.writer.store.readings()
    mean = next(r for r in readings if r.name == "train.loss")
    held_out = next(r for r in readings if r.name == "validation.loss")
    assert mean.value == pytest.approx(expected, rel=1e-12)
    assert held_out.value == pytest.approx(expected, rel=1e-6)
    assert held_out.count == 150


def test_the_mean_of_a_short_last_batch_would_be_another() -> None:
    """What the test above can tell apart: the mean of batch means is off in the second digit."""
    x, y = rows(150)
    each = F.cross_entropy(network()(x), y, reduction="none").detach()
    means = torch.stack([part.mean() for part in each.split(16)])
    assert abs(float(means.mean() - each.mean())) > 1e-4


def test_evaluation_counts_positions() -> None:
    x, target = sequences(12)
    model = PerPosition()
    given = Rows(x, target, torch.arange(12), "validation")
    feeder = Feeder(given, batch_size=5, seed=0, shuffle=False)
    loss = measure_batches(model, NAMED["cross_entropy"], pieces(feeder)).values["loss"]
    assert loss == pytest.approx(float(F.cross_entropy(model(x).transpose(1, 2), target).detach()), rel=1e-6)

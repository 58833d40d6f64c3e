"""A value that is not finite is found again by repeating steps: the same step, operation and rows from any state."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.data.feeder import Feeder
from thalweg.data.rows import Rows
from thalweg.readings import Reading
from thalweg.store import Store, Writer
from thalweg.train import best as best_module
from thalweg.train import loop
from thalweg.train.loop import Job, Training
from thalweg.train.losses import NAMED

torch.set_num_threads(1)
ROWS, SIZE = 90, 8
PLAN = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.05, momentum=0.9), epochs=4, batch_size=SIZE, seed=0)


class Logarithm(nn.Module):
    """log of the first column, which is 0 in a bad row."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :1].log(), x[:, 1:]], 1)


class Falling(nn.Module):
    """sqrt of something that a parameter makes negative after some steps: it falls by 0.1 with each."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.0 * (self.level - 0.45).sqrt() + 1e-3 * (self.level - self.level.detach())


class Noisy(nn.Module):
    """Fails where dropout has dropped all of a row's ten entries: f(seed, step), and of the batches before."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.drop(torch.ones(len(x), 8)).sum(1, keepdim=True)
        return x * (kept / kept).detach()  # 0 / 0


class Sometimes(nn.Module):
    """Fails where a batch norm has seen a batch with a large mean, which is a matter of buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(5, momentum=0.5)

    def forward(self, x: Tensor) -> Tensor:
        before = self.norm.running_mean[0].clone()  # type: ignore[index]
        return self.norm(x) + torch.where(before > 2.0, torch.nan, 0.0) * x


def data(bad: int | None = None) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(ROWS, 5, generator=generator) + 0.5
    if bad is not None:
        x[bad, 0] = 0.0
    return x, torch.randint(0, 3, (ROWS,), generator=generator)


def training(
    folder: Path, first: nn.Module, given: tuple[Tensor, ...], plan: tw.Plan = PLAN, loss: Any = None
) -> Training:
    torch.manual_seed(0)
    network = nn.Sequential(first, nn.Linear(5, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 3))
    x, y, *weights = given

    def fed(part: str) -> Feeder:
        rows = Rows(x, y, torch.arange(len(x)) + 1000, part, *weights)  # type: ignore[arg-type]
        return Feeder(rows, batch_size=SIZE, seed=0, shuffle=part == "train")

    writer = Writer(Store(folder / "run.sqlite", create=True))
    chosen = loss or NAMED["cross_entropy"]
    folder.mkdir(exist_ok=True)
    job = Job(network, chosen, plan, fed("train"), fed("validation"), [], folder / "checkpoints", writer)
    return Training(job)


def found_by(trained: Training, status: str = "failed") -> tuple[list[Reading], Reading]:
    assert trained.run() == status
    readings = trained.job.writer.store.readings()
    (first,) = [r for r in readings if r.name == "nonfinite.first"]
    return [r for r in readings if r.name.startswith("nonfinite")], first


@pytest.fixture(params=["snapshot", "checkpoint"])
def state_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the replay starts: from a copy at the epoch's begin, or from the last checkpoint, here of step 0."""
    if request.param == "checkpoint":
        monkeypatch.setattr(loop, "KEPT_BYTES", 0)
        monkeypatch.setattr(best_module, "KEPT_BYTES", 0)
    monkeypatch.setattr(loop, "LOOK_SECONDS", 1e9)  # at the ends of epochs only: many steps to repeat
    return str(request.param)


def step_of(trained: Training, row: int, epoch: int) -> int:
    """The update of an epoch in which a row comes."""
    order = trained.job.train.order(epoch).tolist()
    batch = order.index(row) // SIZE
    return epoch * trained.steps_per_epoch + batch // trained.job.plan.accumulate


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_bad_row_is_named(tmp_path: Path, state_at: str, accumulate: int) -> None:
    """With 12 batches in windows of 3 the row is in the window's second or third batch for some of these."""
    for row in (0, 5, 17, 40, 77):
        trained = training(tmp_path / str(row), Logarithm(), data(row), PLAN.replace(accumulate=accumulate))
        readings, first = found_by(trained)
        assert (first.place, first.note) == ("0", "aten.log forward")
        assert first.step == step_of(trained, row, 0)
        assert [r.value for r in readings if r.name == "nonfinite.row"] == [1000 + row]
        assert [r.name for r in readings if r.name == "nonfinite.last_loss"]


def test_an_operation_that_fails_in_a_later_epoch(tmp_path: Path, state_at: str) -> None:
    """From the checkpoint of step 0 whole epochs have to be repeated first."""
    trained = training(tmp_path, Falling(), data(), PLAN.replace(**{"optimizer.momentum": 0.0}))

    class Pulled:  # each update lowers the level by 0.05 * 0.4
        def __call__(self, output: Tensor, target: Tensor) -> Tensor:
            return NAMED["cross_entropy"](output, target) + 0.4 * trained.job.network[0].level  # type: ignore[index]

    trained.stepper.loss = Pulled()  # type: ignore[assignment]
    object.__setattr__(trained.job, "loss", trained.stepper.loss)
    _, first = found_by(trained)
    assert (first.place, first.note) == ("0", "aten.sqrt forward")
    assert first.step is not None
    assert trained.steps_per_epoch * 2 <= first.step < trained.steps_per_epoch * 3


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_noise_is_repeated_exactly(tmp_path: Path, state_at: str, accumulate: int) -> None:
    """The dropout mask that fails is met again, also in a later batch of a window."""
    trained = training(tmp_path, Noisy(), data(), PLAN.replace(accumulate=accumulate))
    expected = first_failure(tmp_path / "other", accumulate)
    readings, first = found_by(trained)
    assert first.note.startswith("aten.div")
    assert (first.step, sorted(r.value for r in readings if r.name == "nonfinite.row")) == expected


def first_failure(folder: Path, accumulate: int) -> tuple[int, list[float]]:
    """The same by running the forward passes alone: the noise does not depend on the weights."""
    from thalweg.data.noise import global_rng_kept, seed_noise

    trained = training(folder, Noisy(), data(), PLAN.replace(accumulate=accumulate))
    network = trained.job.network.train()
    with global_rng_kept():
        for step in range(trained.num_steps):
            epoch, update = divmod(step, trained.steps_per_epoch)
            seed_noise(0, step)
            for k, (x, _) in enumerate(list(trained.windows(epoch))[update]):
                bad = network(x).isnan().any(1).nonzero().flatten().tolist()
                if bad:
                    rows = trained.job.train.row_numbers(epoch, update * accumulate + k)
                    return step, sorted(float(rows[b]) for b in bad)
    raise AssertionError("no step fails")


def test_buffers_are_those_of_the_step(tmp_path: Path, state_at: str) -> None:
    x, y = data()
    x[60, 0] = 1e3  # raises a running mean, and the batch after it fails
    trained = training(tmp_path, Sometimes(), (x, y))
    _, first = found_by(trained)
    assert first.step == step_of(trained, 60, 0) + 1
    assert first.place == "0"


def test_a_loss_with_weights_is_replayed_with_them(tmp_path: Path, state_at: str) -> None:
    """A loss of three arguments that fails by a weight alone."""

    def own(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        each = torch.nn.functional.cross_entropy(output, target, reduction="none")
        return (each * weight.log()).mean()

    weights = torch.full((ROWS,), 2.0)
    weights[33] = -1.0
    trained = training(tmp_path, nn.Identity(), (*data(), weights), loss=own)
    _, first = found_by(trained)
    assert (first.place, first.note) == ("loss", "aten.log forward")
    assert first.step == step_of(trained, 33, 0)


def test_a_training_that_survives_goes_on_as_if_nothing_was_looked_into(tmp_path: Path, state_at: str) -> None:
    """One loss is infinite, its gradient is not: the replay must leave no trace in weights, order or state."""

    class Infinite(nn.Module):
        def __init__(self, *, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, x: Tensor) -> Tensor:
            return x

    def loss(value: float) -> Any:
        def own(output: Tensor, target: Tensor) -> Tensor:
            spoiled = (output[:, 0] * 0 + marks[target.long()]).sum().detach() > 0
            return NAMED["cross_entropy"](output, target.long() % 3) + torch.where(spoiled, value, 0.0)

        return own

    x, _ = data()
    target = torch.arange(ROWS)
    marks = torch.zeros(ROWS)
    marks[50] = 1.0
    kept = {}
    for value in (float("inf"), 1.0):
        trained = training(tmp_path / str(value), nn.Identity(), (x, target), PLAN.replace(epochs=2), loss(value))
        if value == 1.0:
            assert trained.run() == "completed"
        else:
            _, first = found_by(trained, "completed")
            assert first.step == step_of(trained, 50, 0)
            (mean, _) = trained.job.writer.store.readings("train.loss")
            assert mean.value == float("inf")
        kept[value] = {**trained.job.network.state_dict(), **trained.stepper.state_dict()}
    for a, b in zip(*(state.values() for state in kept.values()), strict=True):
        assert torch.equal(a, b)


def test_half_precision_is_repeated_in_half_precision(tmp_path: Path, state_at: str) -> None:
    """A product over 65,504 is infinite in float16 only."""

    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 5, bias=False)
            nn.init.constant_(self.layer.weight, 100.0)
            self.layer.requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).float().tanh()

    class Spread(Large):
        def forward(self, x: Tensor) -> Tensor:
            return (self.layer(x) * 0).float()  # inf * 0

    x, y = data()
    x[11] = 1000.0
    full = training(tmp_path / "full", Spread(), (x, y), PLAN.replace(epochs=1))
    assert full.run() == "completed"
    half = training(tmp_path / "half", Spread(), (x, y), PLAN.replace(epochs=1, precision="fp16"))
    half.run()
    (first,) = half.job.writer.store.readings("nonfinite.first")
    assert first.step == step_of(half, 11, 0)
    assert first.place == "0.layer"

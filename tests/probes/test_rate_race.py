import copy
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.data.rows import DatasetRows, Rows
from thalweg.errors import TrainingError
from thalweg.parts.optimizers import SGD, Adagrad, Adam, AdamW, Lion, Muon, NAdam, RAdam, ScheduleFree, Torch
from thalweg.probes.course import divide
from thalweg.probes.rate_race import race, smoothed_minimum, span
from thalweg.readings import Readings

CALIFORNIA = Path(__file__).parents[3] / "shared" / "data" / "california_housing.csv.gz"


OF_TORCH = [Torch(kind=f"torch.optim.{name}") for name in ("Adadelta", "Adafactor", "ASGD", "Adamax", "Rprop")]


def rows_of(inputs, target):
    return Rows(inputs, target, torch.arange(len(target)), "train")


def scaled(x):
    return (x - x.mean(0)) / x.std(0).clamp_min(1e-6)


def mlp(features, outputs, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs))


def quadratic(spread=1.0):
    """Linear regression: the loss's curvature, and with it the limit 2 / λmax of the rate, is known."""
    generator = torch.Generator().manual_seed(0)
    x = spread * torch.randn(600, 8, generator=generator)
    rows = rows_of(x, x @ torch.randn(8, 1, generator=generator))
    hessian = 2 * x.T @ x / len(x)
    return rows, 2 / float(torch.linalg.eigvalsh(hessian).max())


@pytest.mark.parametrize("spread", [1.0, 30.0, 0.01])
def test_the_rate_of_plain_sgd_lies_below_its_stability_limit(spread):
    rows, limit = quadratic(spread)
    network = nn.Linear(8, 1, bias=False)
    found = race(network, F.mse_loss, SGD(), rows, batch_size=120, seconds=0.3)
    assert 0.02 * limit < found.rate < limit
    assert found.low <= found.rate <= found.high
    losses = Readings(found.readings).of("race.loss")
    assert all(r.value == math.inf for r in losses if float(r.place) > 4 * limit)
    assert found.learnable is True


def state_of_everything(network):
    return (
        [p.clone() for p in network.parameters()],
        [b.clone() for b in network.buffers()],
        torch.get_rng_state(),
        np.random.get_state()[1].copy(),
        random.getstate(),
        [m.training for m in network.modules()],
    )


def test_nothing_is_changed(digits):
    network = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 10))
    network[1].eval()
    inputs, target = digits
    rows = rows_of(scaled(inputs)[:400], target[:400])
    kept, before = (rows.inputs.clone(), rows.target.clone()), state_of_everything(network)
    race(network, F.cross_entropy, AdamW(weight_decay=0.01), rows, batch_size=32, seconds=0.2)
    after = state_of_everything(network)
    for a, b in zip(before[:2], after[:2], strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))
    assert torch.equal(before[2], after[2])
    assert np.array_equal(before[3], after[3])
    assert before[4:] == after[4:]
    assert torch.equal(kept[0], rows.inputs)
    assert torch.equal(kept[1], rows.target)
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("optimizer", [AdamW(weight_decay=0.01), SGD(momentum=0.9)], ids=["adamw", "sgd"])
def test_real_labels_are_learnable_and_random_ones_are_not(digits, optimizer):
    inputs, target = scaled(digits[0])[:1200], digits[1][:1200]
    for seed in range(2):
        real = race(
            mlp(64, 10, seed),
            F.cross_entropy,
            optimizer,
            rows_of(inputs, target),
            batch_size=32,
            seed=seed,
            seconds=0.3,
        )
        assert real.learnable is True
        dealt = target[torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))]
        none = race(
            mlp(64, 10, seed), F.cross_entropy, optimizer, rows_of(inputs, dealt), batch_size=32, seed=seed, seconds=0.3
        )
        assert none.learnable is False
        assert none.text.startswith("nothing learnable")
        assert Readings(none.readings).value("race.learnable") == 0
        assert 1e-4 < none.rate < 1


@pytest.mark.parametrize(
    "optimizer",
    [Adam(amsgrad=True), NAdam(), RAdam(), Lion(), Muon(), ScheduleFree(), ScheduleFree(base="sgd"), *OF_TORCH],
    ids=lambda part: getattr(part, "kind", "") or repr(part).partition("(weight")[0],
)
def test_every_optimizer_finds_a_rate_that_learns(digits, optimizer):
    rows = rows_of(scaled(digits[0])[:600], digits[1][:600])
    found = race(mlp(64, 10), F.cross_entropy, optimizer, rows, batch_size=32, seconds=0.2)
    assert found.learnable is True
    losses = {float(r.place): r.value for r in Readings(found.readings).of("race.loss")}
    assert min(losses.values()) < 1.0  # from log 10
    assert found.low <= found.rate <= found.high


def test_breast_cancer_is_learnable(breast_cancer):
    inputs, target = breast_cancer
    rows = rows_of(scaled(inputs), target.float()[:, None])
    for seed in range(3):
        found = race(
            mlp(30, 1, seed), F.binary_cross_entropy_with_logits, AdamW(), rows, batch_size=16, seed=seed, seconds=0.2
        )
        assert found.learnable is True


@pytest.mark.skipif(not CALIFORNIA.exists(), reason="the California housing file is not beside the project")
def test_california_is_learnable():
    import pandas as pd

    table = pd.read_csv(CALIFORNIA).select_dtypes("number").dropna().sample(1500, random_state=0)
    values = scaled(torch.tensor(table.to_numpy(), dtype=torch.float32))
    found = race(mlp(8, 1), F.mse_loss, AdamW(), rows_of(values[:, :8], values[:, 8:]), batch_size=64, seconds=0.3)
    assert found.learnable is True


def test_the_plans_own_rate_takes_part(digits):
    rows = rows_of(scaled(digits[0])[:600], digits[1][:600])
    readings = Readings(race(mlp(64, 10), F.cross_entropy, Adam(lr=2e-6), rows, batch_size=32, seconds=0.3).readings)
    assert "2e-06" in readings.places("race.loss")
    excess = readings.last("race.excess", "2e-06")
    assert excess.low > 0
    assert readings.value("race.start") == pytest.approx(readings.value("race.loss", "2e-06"), abs=0.05)


def test_readings_tell_the_race(digits):
    rows = rows_of(scaled(digits[0])[:600], digits[1][:600])
    found = race(mlp(64, 10), F.cross_entropy, AdamW(), rows, batch_size=32, seconds=0.3)
    readings = Readings(found.readings)
    rate = readings.last("race.rate")
    assert (rate.value, rate.low, rate.high) == (found.rate, found.low, found.high)
    assert readings.value("race.constant") == pytest.approx(math.log(10), abs=0.1)
    assert readings.value("race.start") == pytest.approx(math.log(10), abs=0.2)
    losses = {r.place: r.value for r in readings.of("race.loss")}
    best = [r.place for r in readings.of("race.excess") if r.value == 0]
    assert len(best) == 1
    assert losses[best[0]] == min(losses.values())
    assert found.text == f"lr {found.low:.2g}..{found.high:.2g} → {found.rate:.2g}"


class Items(torch.utils.data.Dataset):
    def __init__(self, inputs, target):
        self.inputs, self.target, self.reads = inputs, target, 0

    def __len__(self):
        return len(self.target)

    def __getitem__(self, index):
        self.reads += 1
        return self.inputs[index], int(self.target[index])


def test_a_dataset_is_read_once_and_only_as_far_as_needed(digits):
    dataset = Items(scaled(digits[0]), digits[1])
    rows = DatasetRows(dataset, digits[1], torch.arange(len(digits[1])), "train")
    found = race(mlp(64, 10), F.cross_entropy, AdamW(), rows, batch_size=4, seconds=0.3)
    assert found.learnable is True
    assert dataset.reads <= 200 * 4 + 256 + 1


class Named(nn.Module):
    """Two inputs by name, a dict as output."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 1)

    def forward(self, left, right):
        return {"answer": self.layer(torch.cat([left, right], 1))}


def test_inputs_and_outputs_of_any_form():
    rows, limit = quadratic()
    named = Rows({"left": rows.inputs[:, :4], "right": rows.inputs[:, 4:]}, rows.target, rows.ids, "train")
    found = race(Named(), lambda o, t: F.mse_loss(o["answer"], t), SGD(), named, batch_size=64, seconds=0.3)
    assert found.rate < limit
    assert found.learnable is None  # no constant answer is known for such outputs


def test_transforms_and_a_loss_with_state():
    rows, _ = quadratic()
    shifted = Rows(rows.inputs + 1000, 50 + 7 * rows.target, rows.ids, "train")
    loss = nn.HuberLoss()
    found = race(
        nn.Linear(8, 1), loss, AdamW(), shifted, batch_size=32, seconds=0.3,
        transform=lambda x: x - 1000, target_transform=lambda y: (y - 50) / 7,
    )  # fmt: skip
    assert found.learnable is True


def test_a_loss_that_is_never_finite():
    rows, _ = quadratic()
    with pytest.raises(TrainingError, match="not finite"):
        race(nn.Linear(8, 1), lambda o, t: (o * torch.nan).mean(), AdamW(), rows, batch_size=32, seconds=0.1)


@pytest.mark.parametrize("count", [2, 3, 12])
def test_few_rows(count):
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    found = race(nn.Linear(3, 1), F.mse_loss, Adagrad(), rows_of(x, x[:, :1]), batch_size=64, seconds=0.1)
    assert found.rate > 0
    assert found.learnable is not False


def test_rows_to_score_on_are_not_trained_on():
    rows = rows_of(torch.randn(500, 2), torch.zeros(500))
    pool, held = divide(rows, batch_size=16, steps=200, seed=3)
    assert not set(pool.ids.tolist()) & set(held.ids.tolist())
    assert len(pool) + len(held) == 500
    again, _ = divide(rows, batch_size=16, steps=200, seed=3)
    assert torch.equal(pool.ids, again.ids)


def test_the_minimum_of_a_smoothed_curve_is_not_that_of_one_lucky_lane():
    rates = [10 ** (k / 4) for k in range(-20, 1)]
    curve = {rate: math.exp(0.3 * (math.log10(rate) + 2.5) ** 2) for rate in rates}
    assert math.log10(smoothed_minimum(curve, start=3.0)) == pytest.approx(-2.5, abs=0.05)
    lucky = {**curve, rates[12]: 0.98}
    assert math.log10(smoothed_minimum(lucky, start=3.0)) == pytest.approx(-2.3, abs=0.2)
    negative = {rate: value - 2 for rate, value in curve.items()}
    assert math.log10(smoothed_minimum(negative, start=3.0)) == pytest.approx(-2.5, abs=0.1)


def test_the_interval_ends_where_rates_get_worse():
    rates = [1e-4, 1e-3, 1e-2, 1e-1]
    assert span(rates, 1e-2, {1e-3, 1e-2}) == (pytest.approx(10**-3.5), pytest.approx(10**-1.5))
    assert span(rates, 1e-4, set(rates)) == (1e-4, 1e-1)


def test_a_copy_that_diverges_stops_early():
    from thalweg.data.feeder import Feeder
    from thalweg.probes.course import Course
    from thalweg.train.step import Step

    rows, limit = quadratic()
    pool, held = divide(rows, batch_size=32, steps=100, seed=0)
    course = Course(
        nn.Linear(8, 1),
        F.mse_loss,
        lambda network, seed: Step(network, F.mse_loss, SGD(), seed=seed),
        lambda seed: Feeder(pool, batch_size=32, seed=seed),
        Feeder(held, batch_size=len(held), seed=0, shuffle=False),
    )
    lane = course.run(100 * limit, steps=100)
    assert lane.score == math.inf
    assert lane.steps < 30
    twice = [course.run(0.1 * limit, steps=20, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(twice[0].scores, twice[1].scores)  # the same batches and noise
    assert not torch.equal(twice[0].scores, twice[2].scores)
    network = copy.deepcopy(course.network)
    with torch.no_grad():
        whole = F.mse_loss(network(held.inputs), held.target)
    assert float(course.start.mean()) == pytest.approx(float(whole), rel=0.05)

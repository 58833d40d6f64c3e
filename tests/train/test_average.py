"""Averages of the weights against torch's AveragedModel; batch norm measured anew against plain means and variances."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import thalweg as tw
from thalweg.train.average import RECALIBRATION_BATCHES, Average
from thalweg.train.evaluation import measure_batches
from thalweg.train.step import Step

torch.set_num_threads(1)
Digits = tuple[Tensor, Tensor]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 16), nn.BatchNorm1d(16),
        nn.Tanh(), nn.Linear(16, 10),
    )  # fmt: skip


def batches(digits: Digits, count: int, size: int = 40) -> list[Digits]:
    x, y = digits
    return [(x[k * size : (k + 1) * size] / 16, y[k * size : (k + 1) * size]) for k in range(count)]


def test_ema_is_torchs_once_it_is_warm(digits: Digits) -> None:
    model = network()
    step = Step(model, F.cross_entropy, tw.optimizers.AdamW(lr=0.01))
    average = Average(model, tw.averaging.EMA(decay=0.8))
    reference: AveragedModel | None = None
    for k, batch in enumerate(batches(digits, 44), start=1):
        step([batch], step=k, rate=0.01)
        average.update(k, 44)
        if (1 + k) / (10 + k) < 0.8:
            assert average.averaging.share(k, 44) > 0.2
        elif reference is None:  # the warm-up is over: torch goes on from here
            reference = AveragedModel(average.network, multi_avg_fn=get_ema_multi_avg_fn(0.8))
            reference.n_averaged += 1
        else:
            reference.update_parameters(model)
    assert reference is not None
    assert int(reference.n_averaged) > 5
    for a, b in zip(average.network.parameters(), reference.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    assert any(not torch.equal(a, b) for a, b in zip(average.network.parameters(), model.parameters(), strict=True))


def test_ema_during_its_warm_up_is_the_recursion(digits: Digits) -> None:
    model = network().double()
    average = Average(model, tw.averaging.EMA(decay=0.999))
    own = model[0].weight.detach().clone()
    for k in range(1, 30):
        with torch.no_grad():
            model[0].weight.add_(torch.randn(24, 64, generator=torch.Generator().manual_seed(k)))
        average.update(k, 30)
        decay = min(0.999, (1 + k) / (10 + k))
        own = decay * own + (1 - decay) * model[0].weight.detach()
    torch.testing.assert_close(average.network[0].weight, own, rtol=1e-12, atol=1e-12)  # type: ignore[index]


@pytest.mark.parametrize("every", [1, 5])
def test_swa_is_torchs_equal_average(digits: Digits, every: int) -> None:
    model = network().double()
    step = Step(model, F.cross_entropy, tw.optimizers.SGD(lr=0.1, momentum=0.9))
    average = Average(model, tw.averaging.SWA(start=0.5, every=every))
    reference = AveragedModel(model)
    members = []
    for k, (x, y) in enumerate(batches(digits, 40), start=1):
        step([(x.double(), y)], step=k, rate=0.1)
        average.update(k, 40)
        if k > 20 and (k - 21) % every == 0:
            reference.update_parameters(model)
            members.append(model[0].weight.detach().clone())
    assert len(members) == 20 / every
    for a, b in zip(average.network.parameters(), reference.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    mean = torch.stack(members).mean(0)
    torch.testing.assert_close(average.network[0].weight.detach(), mean, rtol=1e-12, atol=1e-12)  # type: ignore[index]


def test_before_it_starts_swa_is_the_weights(digits: Digits) -> None:
    model = network()
    step = Step(model, F.cross_entropy, tw.optimizers.SGD(lr=0.1))
    average = Average(model, tw.averaging.SWA(start=0.75))
    for k, batch in enumerate(batches(digits, 5), start=1):
        step([batch], step=k, rate=0.1)
        average.update(k, 100)
    for a, b in zip(average.network.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)


def measured_by_hand(model: nn.Sequential, data: list[Digits]) -> None:
    """Each norm's mean and variance over all rows, every batch normalized by itself, layer after layer; no dropout."""
    values = [x for x, _ in data]
    with torch.no_grad():
        for module in model:
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.copy_(torch.cat(values).double().mean(0))
                module.running_var.copy_(torch.cat(values).double().var(0))
                module.num_batches_tracked.fill_(len(data))
                values = [F.batch_norm(v, None, None, module.weight, module.bias, training=True) for v in values]
            elif not isinstance(module, nn.Dropout):
                values = [module(v) for v in values]


def test_an_average_reads_few_batches(digits: Digits) -> None:
    """And its norms have the statistics of all their rows together."""
    read = []

    def endless():  # type: ignore[no-untyped-def]
        for k in range(1000):
            read.append(k)
            yield batches(digits, 40)[k % 40]

    model = network()
    average = Average(model, tw.averaging.EMA())
    average.settle(endless())
    assert len(read) <= RECALIBRATION_BATCHES + 1
    measured_by_hand(model, (batches(digits, 40) * 2)[:RECALIBRATION_BATCHES])
    for own, reference in ((average.network[1], model[1]), (average.network[5], model[5])):  # type: ignore[index]
        torch.testing.assert_close(own.running_mean, reference.running_mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(own.running_var, reference.running_var, rtol=1e-5, atol=1e-6)
    assert model.training


def test_norms_that_are_frozen_keep_their_estimates(digits: Digits) -> None:
    """A pretrained norm in evaluation mode is not trained; the average must use it as the training did."""
    model = network()
    model[1].running_mean.fill_(0.5)
    model[1].eval()
    average = Average(model, tw.averaging.EMA())
    settled = average.settle(batches(digits, 4))
    assert torch.equal(settled[1].running_mean, model[1].running_mean)  # type: ignore[index]
    assert not torch.equal(settled[5].running_mean, model[5].running_mean)  # type: ignore[index]


def test_other_buffers_are_those_of_the_training(digits: Digits) -> None:
    """What a module keeps of its own is not averaged, and not left at where the training began."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("largest", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                self.largest.copy_(torch.maximum(self.largest, x.detach().abs().max()))
            return x / self.largest

    model = nn.Sequential(Scaled(), nn.Linear(64, 10))
    average = Average(model, tw.averaging.EMA())
    step = Step(model, F.cross_entropy, tw.optimizers.SGD(lr=0.1))
    for k, batch in enumerate(batches(digits, 3), start=1):
        step([batch], step=k, rate=0.1)
        average.update(k, 3)
    assert float(average.settle(batches(digits, 2))[0].largest) == float(model[0].largest) > 0  # type: ignore[index]


def test_frozen_parameters_and_tied_weights(digits: Digits) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Linear(64, 10))
    model[2].weight = model[0].weight
    model[3].requires_grad_(False)
    average = Average(model, tw.averaging.EMA(decay=0.5))
    step = Step(model, F.cross_entropy, tw.optimizers.SGD(lr=0.5))
    for k, batch in enumerate(batches(digits, 5), start=1):
        step([batch], step=k, rate=0.5)
        average.update(k, 5)
    averaged = average.network
    assert averaged[2].weight is averaged[0].weight  # type: ignore[index]
    assert torch.equal(averaged[3].weight, model[3].weight)  # type: ignore[index]
    assert not torch.equal(averaged[0].weight, model[0].weight)  # type: ignore[index]


# ---------------------------------------------------------------------- whole trainings

PLAN = tw.Plan(
    optimizer=tw.optimizers.AdamW(lr=0.01), epochs=3, batch_size=64, probes=False, preprocessing="standardize",
    selection="loss",
)  # fmt: skip
KINDS = [tw.averaging.EMA(decay=0.9), tw.averaging.SWA(start=0.3, every=2)]


def experiment_of(digits: Digits, runs: Path) -> tw.Experiment:
    return tw.Experiment(
        network, train=(digits[0][:900], digits[1][:900]), loss="cross_entropy", directory=runs, test=False
    )


def trained_weights(run: tw.Run) -> dict[str, Tensor]:
    """The weights of the last step, as trained."""
    from thalweg.train.checkpoint import load_checkpoint

    state = load_checkpoint(run.directory / "checkpoints", "last")[0]
    return {k: v for k, v in state.items() if k.startswith(("network.", "optimizer."))}


@pytest.mark.parametrize("averaging", KINDS, ids=lambda kind: type(kind).__name__)
def test_averaging_leaves_the_training_bit_identical(digits: Digits, runs: Path, averaging: object) -> None:
    experiment = experiment_of(digits, runs)
    bare = experiment.train(PLAN, listeners=())
    averaged = experiment.train(PLAN.replace(averaging=averaging), listeners=())
    assert bare.history["train.loss"] == averaged.history["train.loss"]
    assert bare.history["validation.loss"] != averaged.history["validation.loss"]
    a, b = trained_weights(bare), trained_weights(averaged)
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("averaging", KINDS, ids=lambda kind: type(kind).__name__)
def test_what_is_validated_and_kept_is_the_average(digits: Digits, runs: Path, averaging: object, keep: str) -> None:
    experiment = experiment_of(digits, runs)
    run = experiment.train(PLAN.replace(averaging=averaging, keep=keep), listeners=())
    reference = average_by_hand(experiment, run.plan)
    last = run.history["validation.loss"]
    assert last == pytest.approx([loss for _, loss in reference], rel=1e-5)
    kept = reference[-1][0] if keep == "last" else min(reference, key=lambda pair: pair[1])[0]
    for (name, a), b in zip(run.network.state_dict().items(), kept.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)
    assert run.metrics["loss"] == pytest.approx(last[-1] if keep == "last" else min(last), rel=1e-6)
    reopened = experiment.open(run.name)
    for a, b in zip(run.network.state_dict().values(), reopened.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    x = digits[0][900:950]
    assert torch.equal(run.predict_probabilities(x), reopened.predict_probabilities(x))


def average_by_hand(experiment: tw.Experiment, plan: tw.Plan) -> list[tuple[nn.Module, float]]:
    """The averaged network and its validation loss after each epoch, without `Average` and `recalibrate`."""
    from thalweg.data.noise import global_rng_kept, seed_noise

    setup = experiment._set_up(plan)
    model, part = setup.network, plan.optimizer
    assert plan.optimizer != "auto"
    assert plan.averaging is not None
    feeder = setup.feeder(experiment.data.train, batch_size=64, seed=int(plan.seed))
    rows = setup.held_out(experiment.data.validation, 64)
    step = Step(model, F.cross_entropy, part, seed=int(plan.seed))  # type: ignore[arg-type]
    averages = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.train()
    found, k, total = [], 0, 3 * len(feeder)
    with global_rng_kept():
        for epoch in range(3):
            for batch in feeder.epoch(epoch):
                seed_noise(int(plan.seed), k)
                step([batch], step=k, rate=0.01 * plan.schedule.factor(k, total))  # type: ignore[union-attr]
                k += 1
                share = plan.averaging.share(k, total)
                for name, p in model.named_parameters():
                    averages[name] = (1 - share) * averages[name] + share * p.detach()
            averaged = copy.deepcopy(model)
            averaged.load_state_dict(averages, strict=False)
            measured_by_hand(averaged, list(feeder.epoch(0)))
            loss = measure_batches(averaged, F.cross_entropy, rows.epoch(0)).values["loss"]
            found.append((averaged, loss))
    return found


@pytest.mark.parametrize("averaging", KINDS, ids=lambda kind: type(kind).__name__)
@pytest.mark.parametrize("stop", [5, 12, 20])
def test_a_resumed_training_goes_on_to_the_bit(
    digits: Digits, runs: Path, averaging: object, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = experiment_of(digits, runs)
    plan = PLAN.replace(averaging=averaging)
    whole = experiment.train(plan, listeners=())
    stopping = Average.update

    def stop_there(self: Average, update: int, num_steps: int) -> None:
        stopping(self, update, num_steps)
        if update == stop:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Average, "update", stop_there)
    first = experiment.train(plan, listeners=())
    assert first.status == "interrupted"
    monkeypatch.setattr(Average, "update", stopping)
    resumed = experiment.resume(first, listeners=())
    assert resumed.status == "completed"
    for name in ("train.loss", "validation.loss"):
        assert whole.history[name] == resumed.history[name]
    for a, b in zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    a, b = trained_weights(whole), trained_weights(resumed)
    assert all(torch.equal(value, b[name]) for name, value in a.items())

"""Schedules in whole trainings: a cycled momentum, plateaus, and lengths that do not fit, beside plain torch loops."""

import copy
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.events import Event, Progress
from thalweg.parts.schedules import Measured, OneCycle, Plateau, Product, Schedule, Step, Triangular, Warmup
from thalweg.train import compiled, loop
from thalweg.train.checkpoint import load_checkpoint

torch.set_num_threads(1)
PEAK, EPOCHS = 0.2, 40


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 6, generator=generator, dtype=torch.float64)
    return x, (x.sum(1) + torch.randn(96, generator=generator, dtype=torch.float64) > 0).long()


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)).double()


def experiment_of(runs: Path) -> tw.Experiment:
    x, y = data()
    parts = {"train": (x[:64], y[:64]), "validation": (x[64:], y[64:]), "test": False}
    return tw.Experiment(network(), loss="cross_entropy", directory=runs, **parts)


def plan_of(optimizer: tw.optimizers.Optimizer, schedule: Schedule, **changes: Any) -> tw.Plan:
    """One update per epoch, of all rows: their order does not matter to a loop beside it."""
    plan = tw.Plan.plain(optimizer=optimizer, epochs=EPOCHS, batch_size=64, seed=0, monitoring=0.0)
    return plan.replace(schedule=schedule, **changes)


SGDS = [tw.optimizers.SGD(lr=PEAK, momentum=0.9), tw.optimizers.SGD(lr=PEAK, momentum=0.9, nesterov=True)]
ADAMS = [tw.optimizers.Adam(lr=0.05), tw.optimizers.AdamW(lr=0.05)]
CYCLING = [
    (
        OneCycle(momenta=(0.85, 0.95), initial=1 / 25, final=1 / 25 / 1e4),
        lambda o, peak: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=peak, total_steps=EPOCHS),
    ),
    (
        Triangular(low=0.1, cycle=10, mode="triangular2", momenta=(0.8, 0.9)),
        lambda o, peak: torch.optim.lr_scheduler.CyclicLR(o, 0.1 * peak, peak, 5, mode="triangular2"),
    ),
]


def torchs_loop(optimizer: tw.optimizers.Optimizer, make: Any) -> nn.Module:
    model, (x, y) = network(), data()
    built = optimizer.build(model.parameters())
    scheduler = make(built, optimizer.lr)
    for step in range(EPOCHS):
        built.zero_grad()
        nn.functional.cross_entropy(model(x[:64]), y[:64]).backward()
        built.step()
        if step < EPOCHS - 1:
            scheduler.step()
    return model


def distance(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.fixture
def eager_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are made, and their checks left out, as in earnest; the kernels are those of eager steps."""
    real = torch.compile

    def quick(function: Any, *, options: dict[str, Any], **rest: Any) -> Any:
        return real(function, backend="eager", options={"guard_filter_fn": options["guard_filter_fn"]}, **rest)

    monkeypatch.setattr(torch, "compile", quick)


FORMS = [("never", part) for part in SGDS + ADAMS] + [("always", SGDS[0]), ("auto", SGDS[1]), ("auto", ADAMS[1])]


@pytest.mark.parametrize(("form", "optimizer"), FORMS, ids=repr)
@pytest.mark.parametrize(("schedule", "make"), CYCLING, ids=["OneCycle", "Triangular"])
def test_a_cycled_momentum_trains_as_torchs_loop(
    schedule: Schedule,
    make: Any,
    optimizer: tw.optimizers.Optimizer,
    form: str,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    eager_graphs: None,
) -> None:
    monkeypatch.setattr(compiled, "WORTH_SECONDS", 0.0)  # "auto" tries the graph, and takes it
    monkeypatch.setattr(compiled, "WORTH", 0.0)
    run = experiment_of(runs).train(plan_of(optimizer, schedule, compile=form), listeners=())
    assert run.plan.compile == ("never" if form == "never" else "always")
    assert distance(run.network, torchs_loop(optimizer, make)) < 1e-12
    still = torchs_loop(optimizer, lambda o, peak: torch.optim.lr_scheduler.OneCycleLR(
        o, max_lr=peak, total_steps=EPOCHS, cycle_momentum=False))  # fmt: skip
    assert distance(run.network, still) > 1e-3, "the momentum hardly matters: nothing would be compared"


class StopAt:
    """Ctrl-C, once the training stands at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and event.step == self.step:
            signal.raise_signal(signal.SIGINT)


# Reduces every fifth epoch: under a rate so small nothing is seen to fall but the losses that are told.
PLATEAU = Plateau(window=4, level=0.0, losses="train", reduction=0.5)


@pytest.mark.parametrize("optimizer", [tw.optimizers.SGD(lr=1.5, momentum=0.9), ADAMS[1]], ids=["SGD", "AdamW"])
@pytest.mark.parametrize(
    "schedule",
    [OneCycle(momenta=(0.85, 0.95)), PLATEAU, Product(parts=(Warmup(warmup=3, then=PLATEAU), Step(every=30)))],
    ids=["OneCycle", "Plateau", "Product"],
)
def test_a_stop_changes_nothing(
    schedule: Schedule, optimizer: tw.optimizers.Optimizer, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within an epoch and at its end; the end of an epoch is where a plateau is seen."""
    monkeypatch.setattr(loop, "LOOK_SECONDS", -1.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    plan = plan_of(optimizer, schedule, batch_size=16, epochs=12)
    experiment = experiment_of(runs)
    whole = experiment.train(plan, listeners=())
    assert len(set(whole.history["rate"])) > 2
    for step in (18, 20, 31):
        run = experiment.train(plan, listeners=[StopAt(step)])
        assert run.status == "interrupted"
        run = experiment.resume(run, listeners=())
        assert run.history["rate"] == whole.history["rate"]
        assert run.history["validation.loss"] == whole.history["validation.loss"]
        assert distance(run.network, whole.network) == 0


def test_a_plateau_is_what_the_stored_losses_say(runs: Path) -> None:
    """The rate of each epoch, from the losses that the run recorded before it."""
    schedule = Plateau(window=4, level=0.2, losses="validation")
    run = experiment_of(runs).train(plan_of(tw.optimizers.SGD(lr=3.0, momentum=0.9), schedule), listeners=())
    history = [
        Measured(int(step), train, validation)
        for step, train, validation in zip(
            run.history["step"], run.history["train.loss"], run.history["validation.loss"], strict=True
        )
    ]
    expected = [3.0 * schedule.informed(history[:n], EPOCHS).factor(n, EPOCHS) for n in range(EPOCHS)]
    assert run.history["rate"] == expected
    assert len(set(expected)) > 1, "no plateau: nothing would be compared"
    saved, _ = load_checkpoint(run.directory / "checkpoints", "last")
    assert [Measured(int(s), *rest) for s, *rest in saved["epoch.measured"].tolist()] == history


def test_a_replay_has_the_rates_of_its_time(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a state of before a reduction over it: each step at the rate that it had."""
    seen: list[tuple[int, float, float | None]] = []
    taken = loop.Step.__call__

    def take(self: loop.Step, window: Any, *, step: int, rate: float, momentum: float | None = None) -> Tensor:
        seen.append((step, rate, momentum))
        return taken(self, window, step=step, rate=rate, momentum=momentum)

    monkeypatch.setattr(loop.Step, "__call__", take)
    monkeypatch.setattr(loop, "KEPT_BYTES", -1)  # states are on the disk only: a replay begins at step 0

    class Failing(nn.Module):
        """Not finite from the 30th training batch on, and then in every repetition of it."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = network()
            self.register_buffer("count", torch.zeros((), dtype=torch.long))

        def forward(self, x: Tensor) -> Tensor:
            self.count += int(self.training)
            return self.inner(x) * (torch.inf if self.count > 30 and self.training else 1.0)

    x, y = data()
    experiment = tw.Experiment(
        Failing(), train=(x[:64], y[:64]), validation=(x[64:], y[64:]), test=False, loss="cross_entropy", directory=runs
    )
    plan = plan_of(tw.optimizers.SGD(lr=1e-3, momentum=0.9), Plateau(window=4, level=0.0, reduction=0.5), epochs=40)
    run = experiment.train(plan, listeners=())
    assert run.status == "failed"
    first = {step: rate for step, rate, _ in reversed(seen)}
    repeated = [(step, rate) for step, rate, _ in seen[max(s for s, *_ in seen) + 1 :]]
    assert len(repeated) > 20
    assert all(rate == first[step] for step, rate in repeated)
    assert len({rate for _, rate in repeated}) > 3


@pytest.mark.parametrize(
    ("optimizer", "schedule", "message"),
    [
        (SGDS[0], tw.schedules.WarmupCosine(warmup=40), r"WarmupCosine got warmup=40 steps, but it has only 40 steps"),
        (SGDS[0], Warmup(warmup=10, then=Step(every=31)), r"Step got every=31 steps, but it has only 30 steps"),
        (tw.optimizers.SGD(lr=0.1), OneCycle(momenta=(0.85, 0.95)), r"SGD has no momentum"),
        (tw.optimizers.Adagrad(lr=0.1), OneCycle(momenta=(0.85, 0.95)), r"Adagrad has no momentum"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_run_begins(
    optimizer: tw.optimizers.Optimizer, schedule: Schedule, message: str, runs: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        experiment_of(runs).train(plan_of(optimizer, schedule), listeners=())
    assert not list(runs.glob("*/run.sqlite"))


def test_rules_learn_of_a_warm_up(runs: Path) -> None:
    plan = plan_of(SGDS[0], tw.schedules.WarmupStableDecay(warmup=0.1), probes=True)
    run = experiment_of(runs).train(plan, listeners=())
    assert run.store.readings("plan.warmup_steps").value("plan.warmup_steps") == 4


def test_an_extended_training_in_steps_is_the_longer_one(runs: Path) -> None:
    """Warm-up and fall in steps: extended before its fall, it is the training of that length from the start."""
    schedule = tw.schedules.WarmupStableDecay(warmup=5, decay=8)
    experiment = experiment_of(runs)
    plan = plan_of(SGDS[0], schedule, epochs=20)
    longer = experiment.train(copy.copy(plan).replace(epochs=30), listeners=())
    short = experiment.train(plan, listeners=[StopAfter(11)])
    extended = experiment.resume(short, epochs=30, listeners=())
    assert extended.history["rate"] == longer.history["rate"]
    assert distance(extended.network, longer.network) == 0


class StopAfter:
    """Ctrl-C at an epoch's end."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, event: Event) -> None:
        if getattr(event, "epoch", None) == self.epoch and not isinstance(event, Progress):
            signal.raise_signal(signal.SIGINT)

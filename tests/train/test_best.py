"""The best epoch: chosen as said, and the same whether its weights wait in memory or go to the disk at once."""

import math
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import StoreError
from thalweg.events import EpochEnded, Event
from thalweg.train import best as best_module
from thalweg.train import loop
from thalweg.train.best import Best

torch.set_num_threads(1)
Digits = tuple[Tensor, Tensor]


def weighing(value: float) -> nn.Module:
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.weight, value)
    return layer


def weight_of(best: Best) -> float:
    network = weighing(math.nan)
    best.put_into(network)
    return float(network.weight.detach()[0, 0])  # type: ignore[operator]


@pytest.fixture(params=[False, True], ids=["memory", "disk"])
def on_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param:
        to_disk(monkeypatch)
    return bool(request.param)


def to_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_module, "KEPT_BYTES", 0)
    monkeypatch.setattr(loop, "KEPT_BYTES", 0)


@pytest.mark.parametrize(
    ("values", "higher", "chosen"),
    [
        ([3.0, 1.0, 2.0], False, 2),
        ([3.0, 1.0, 2.0], True, 1),
        ([2.0, 1.0, 1.0], False, 3),  # a tie goes to the later epoch
        ([0.25, 0.75, 0.75, 0.5], True, 3),
        ([math.nan, 2.0, math.nan], False, 2),
        ([math.nan, 2.0, math.nan], True, 2),
        ([math.inf, 2.0, math.inf], False, 2),
        ([-1.0, -math.inf, -2.0], True, 1),
        ([math.nan, math.nan], False, 0),
    ],
)
def test_the_best_epoch_is_kept(values: list[float], higher: bool, chosen: int, on_disk: bool, tmp_path: Path) -> None:
    best = Best(tmp_path)
    told = [
        best.offer(weighing(v), epoch=k, step=10 * k, value=v, higher_is_better=higher)
        for k, v in enumerate(values, start=1)
    ]
    assert (best.epoch, best.step) == (chosen, 10 * chosen)
    assert [k for k, kept in enumerate(told, start=1) if kept][-1:] == ([chosen] if chosen else [])
    if not chosen:
        assert not (tmp_path / "best.json").exists()
        return
    assert best.value == values[chosen - 1]
    assert weight_of(best) == values[chosen - 1]
    best.save()
    again = Best(tmp_path)
    again.restore()
    assert (again.epoch, again.step, again.value) == (best.epoch, best.step, best.value)
    assert weight_of(again) == values[chosen - 1]


def test_what_is_kept_does_not_follow_the_training(on_disk: bool, tmp_path: Path) -> None:
    network, best = weighing(1.0), Best(tmp_path)
    best.offer(network, epoch=1, step=1, value=1.0, higher_is_better=False)
    nn.init.constant_(network.weight, 5.0)  # type: ignore[arg-type]
    assert weight_of(best) == 1.0
    assert (tmp_path / "best.json").exists() == on_disk
    best.save()
    assert (tmp_path / "best.json").exists()
    assert weight_of(best) == 1.0


def test_a_resumed_one_goes_on_comparing(on_disk: bool, tmp_path: Path) -> None:
    first = Best(tmp_path)
    first.offer(weighing(1.0), epoch=3, step=30, value=0.7, higher_is_better=True)
    first.save()
    second = Best(tmp_path)
    second.restore()
    assert not second.offer(weighing(2.0), epoch=4, step=40, value=0.6, higher_is_better=True)
    assert weight_of(second) == 1.0
    assert second.offer(weighing(3.0), epoch=5, step=50, value=0.8, higher_is_better=True)
    assert weight_of(second) == 3.0
    with pytest.raises(StoreError, match="no checkpoint 'best'"):
        Best(tmp_path / "elsewhere").restore()


# ---------------------------------------------------------------------- whole trainings


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10))


PLAN = tw.Plan(
    optimizer=tw.optimizers.AdamW(lr=0.02), schedule=tw.schedules.Constant(), epochs=4, batch_size=64, probes=False,
    selection="accuracy",
)  # fmt: skip


def experiment_of(digits: Digits, runs: Path) -> tw.Experiment:
    return tw.Experiment(
        network, train=(digits[0][:700], digits[1][:700]), loss="cross_entropy", directory=runs, test=False
    )


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    take = loop.Step.__call__

    def taken(self: loop.Step, window: loop.Window, *, step: int, rate: float, momentum: float | None = None) -> Tensor:
        if step == wanted:
            os.kill(os.getpid(), signal.SIGINT)
        return take(self, window, step=step, rate=rate, momentum=momentum)

    wanted = step
    monkeypatch.setattr(loop.Step, "__call__", taken)


def assert_same(a: tw.Run, b: tw.Run) -> None:
    for name in ("train.loss", "validation.loss", "validation.accuracy", "step"):
        assert a.history[name] == b.history[name], name
    for x, y in zip(a.network.state_dict().values(), b.network.state_dict().values(), strict=True):
        assert torch.equal(x, y)
    assert a.metrics == b.metrics
    assert a.store.get("best") == b.store.get("best")


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("averaging", [None, tw.averaging.EMA(decay=0.9)], ids=["weights", "ema"])
def test_memory_and_disk_give_the_same_run(
    digits: Digits, runs: Path, keep: str, averaging: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = experiment_of(digits, runs)
    plan = PLAN.replace(keep=keep, averaging=averaging)
    in_memory = experiment.train(plan, listeners=())
    to_disk(monkeypatch)
    on_disk = experiment.train(plan, listeners=())
    assert_same(in_memory, on_disk)
    x = digits[0][700:720]
    answers = [experiment.open(run.name).predict_probabilities(x) for run in (in_memory, on_disk)]
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], in_memory.predict_probabilities(x))


@pytest.mark.parametrize("stop", [3, 14, 27])
def test_a_resumed_run_is_the_unbroken_one(
    digits: Digits, runs: Path, on_disk: bool, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = experiment_of(digits, runs)
    whole = experiment.train(PLAN, listeners=())
    with monkeypatch.context() as context:
        stop_at(stop, context)
        first = experiment.train(PLAN.replace(monitoring=0.0), listeners=())
    assert first.status == "interrupted"
    assert_same(whole, experiment.resume(first, listeners=()))


def test_a_run_killed_after_a_better_epoch_and_before_its_checkpoint(
    digits: Digits, runs: Path, on_disk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its best weights may be newer than its last checkpoint: the epoch is trained again and stays the best."""
    experiment = experiment_of(digits, runs)
    whole = experiment.train(PLAN, listeners=())

    class Killed(BaseException):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.epoch == 3:
            raise Killed

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Killed):
        experiment.train(PLAN, listeners=[kill])
    name = next(folder.name for folder in runs.iterdir() if folder.is_dir() and folder.name != whole.name)
    assert_same(whole, experiment.resume(name, listeners=()))


def test_large_states_are_saved_before_the_first_step(
    digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No copy of them is held in memory, and a replay needs a state to go back to."""
    to_disk(monkeypatch)
    states = []
    take = loop.Step.__call__

    def looked(
        self: loop.Step, window: loop.Window, *, step: int, rate: float, momentum: float | None = None
    ) -> Tensor:
        if not states:
            states.extend(sorted(path.name for path in runs.rglob("last.json")))
        return take(self, window, step=step, rate=rate, momentum=momentum)

    monkeypatch.setattr(loop.Step, "__call__", looked)
    experiment_of(digits, runs).train(PLAN.replace(epochs=1, monitoring=0.0), listeners=())
    assert states == ["last.json"]

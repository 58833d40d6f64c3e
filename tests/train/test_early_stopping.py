"""Early stopping: after how many epochs, on which measure, and what is said, kept and resumed."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.events import EpochEnded, Event, RunEnded
from thalweg.show.terminal import Terminal
from thalweg.train import loop

torch.set_num_threads(1)
ROWS = 50
EPOCHS = 8


class Told:
    """A metric that says of each epoch what it is told, whatever the network does."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values, self.calls = values, 0
        self.__name__ = "told"

    def __call__(self, output: Tensor, target: Tensor) -> float:
        value = self.values[min(self.calls, len(self.values) - 1)]
        self.calls += 1
        return value


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(ROWS, 4, generator=generator), torch.arange(ROWS) % 2


def plan(**changes: object) -> tw.Plan:
    part = tw.optimizers.SGD(lr=0.01, momentum=0.9)
    base = tw.Plan.plain(optimizer=part, epochs=EPOCHS, batch_size=8, monitoring=0.0, seed=0)
    return base.replace(**{"schedule": tw.schedules.WarmupCosine(), "keep": "best", **changes})


def experiment_of(runs: Path, metrics: Any = None) -> tw.Experiment:
    torch.manual_seed(0)
    return tw.Experiment(
        nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 2)), train=data(),
        test=False, loss="cross_entropy", metrics=metrics, directory=runs,
    )  # fmt: skip


def expected_end(values: Sequence[float], patience: int, *, higher: bool) -> tuple[int, int]:
    """Epochs trained and the best of them, by hand; a tie counts as better, a NaN never does."""
    best, best_value = 0, math.nan
    for epoch, value in enumerate(values, start=1):
        better = best == 0 or (value >= best_value if higher else value <= best_value)
        if not math.isnan(value) and better:
            best, best_value = epoch, value
        if epoch - best >= patience:
            return epoch, best
    return len(values), best


NAN = math.nan
CURVES = [
    ([0.5, 0.6, 0.7, 0.6, 0.6, 0.6, 0.9, 0.9], 3, 6, 3),
    ([0.5, 0.6, 0.7, 0.6, 0.6, 0.9, 0.8, 0.8], 3, 8, 6),
    ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], 1, 2, 1),
    ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], 1, 8, 8),
    ([0.5, NAN, NAN, 0.6, NAN, NAN, NAN, 0.9], 3, 7, 4),
    ([NAN, NAN, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5], 2, 2, 0),
    ([NAN, NAN, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5], 3, 6, 3),
]


@pytest.mark.parametrize(("values", "patience", "epochs", "best"), CURVES)
def test_patience_on_a_metric_that_is_better_when_higher(
    values: list[float], patience: int, epochs: int, best: int, runs: Path
) -> None:
    assert expected_end(values, patience, higher=True) == (epochs, best)
    # The session measures the kept weights once more at the end: told the last value again.
    experiment = experiment_of(runs, [Told(values)])
    events: list[Event] = []
    run = experiment.train(plan(selection="told", patience=patience), listeners=[events.append])
    assert len(run.history["train.loss"]) == epochs
    assert run.store.get("best")["epoch"] == best
    assert run.status == "completed"
    assert run.store.get("stopped_early") == (epochs < EPOCHS)
    ended = events[-1]
    assert isinstance(ended, RunEnded)
    assert ended.stopped_early == (epochs < EPOCHS)
    assert [e.best for e in events if isinstance(e, EpochEnded)][best - 1] or not best
    recorded = run.history["validation.told"]
    assert [None if math.isnan(v) else v for v in recorded] == [None if math.isnan(v) else v for v in values[:epochs]]


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_patience_on_the_loss(patience: int, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [1.0, 0.8, 0.9, 0.7, 0.75, 0.8, 0.85, 0.6]
    measured = iter(values)
    real = loop.Training._measure

    def told(self: loop.Training, *args: Any, **kwargs: Any) -> Any:
        found = real(self, *args, **kwargs)
        found[0]["loss"] = next(measured)
        return found

    monkeypatch.setattr(loop.Training, "_measure", told)
    run = experiment_of(runs).train(plan(patience=patience), listeners=())
    epochs, best = expected_end(values, patience, higher=False)
    assert (patience, epochs, best) in {(1, 3, 2), (2, 6, 4), (3, 7, 4)}
    assert run.history["validation.loss"] == values[:epochs]
    assert run.store.get("best")["epoch"] == best


def test_the_weights_of_the_best_epoch_are_kept(runs: Path) -> None:
    experiment = experiment_of(runs, [Told([0.1, 0.2, 0.9, 0.3, 0.3, 0.3, 0.3, 0.3])])
    run = experiment.train(plan(selection="told", patience=2), listeners=())
    three = experiment_of(runs, [Told([0.1])]).train(plan(selection="told", keep="last", patience=8), listeners=())
    assert len(run.history["step"]) == 5
    # The schedule is that of eight epochs in both: the third epoch's weights are the same.
    assert run.history["train.loss"] == three.history["train.loss"][:5]
    assert run.metrics["loss"] == pytest.approx(three.history["validation.loss"][2], rel=1e-6)


def test_without_patience_all_epochs_are_trained(runs: Path) -> None:
    run = experiment_of(runs, [Told([0.9, 0.1])]).train(plan(selection="told"), listeners=())
    assert len(run.history["step"]) == EPOCHS
    assert run.store.get("stopped_early") is False


def test_a_run_that_stopped_is_complete_and_can_be_extended(runs: Path) -> None:
    experiment = experiment_of(runs, [Told([0.9, 0.5])])
    stopped = experiment.train(plan(selection="told", patience=2), listeners=())
    assert len(stopped.history["step"]) == 3
    with pytest.raises(UsageError, match=r"is complete; resume\(run, epochs="):
        experiment.resume(stopped, listeners=())
    extended = experiment.resume(stopped, epochs=EPOCHS, listeners=())
    assert extended.status == "completed"
    assert len(extended.history["step"]) == EPOCHS
    assert extended.plan.patience is None
    assert extended.store.get("stopped_early") is False
    assert extended.store.get("best")["epoch"] == 1
    whole = experiment_of(runs, [Told([0.9, 0.5])]).train(plan(selection="told"), listeners=())
    assert whole.history["train.loss"] == extended.history["train.loss"]  # the schedule was that of eight epochs
    for a, b in zip(whole.network.state_dict().values(), extended.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("killed_in", [2, 4, 6])
def test_a_run_that_was_killed_stops_where_the_unbroken_one_does(
    killed_in: int, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is killed after the epoch that ended it, before that was written down."""

    class Killed(BaseException):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.epoch == killed_in:
            raise Killed

    values = [0.1, 0.2, 0.3, 0.9, 0.5, 0.5, 0.5, 0.5]

    def by_loss(output: Tensor, target: Tensor) -> float:  # a metric that depends on the network alone
        return values[int(output.detach().abs().sum() * 0) + seen[0] - 1]

    seen = [0]

    def follow(event: Event) -> None:
        if isinstance(event, EpochEnded):
            seen[0] = event.epoch + 1

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    experiment = experiment_of(runs, [by_loss])
    seen[0] = 1
    whole = experiment.train(plan(selection="by_loss", patience=2), listeners=[follow])
    assert len(whole.history["step"]) == 6
    seen[0] = 1
    with pytest.raises(Killed):
        experiment.train(plan(selection="by_loss", patience=2), listeners=[follow, kill])
    name = next(folder.name for folder in runs.iterdir() if folder.is_dir() and folder.name != whole.name)
    done = len(experiment.open(name).history.get("train.loss", []))
    seen[0] = done + 1
    resumed = experiment.resume(name, listeners=[follow])
    assert resumed.store.get("stopped_early") is True
    assert whole.history["train.loss"] == resumed.history["train.loss"]
    assert whole.store.get("best") == resumed.store.get("best")
    for a, b in zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_terminal_says_so() -> None:
    def shown(early: bool) -> str:
        stream = io.StringIO()
        Terminal(stream, io.StringIO())(RunEnded("r", "completed", "Learned.", 4, 1.0, early))
        return stream.getvalue()

    assert "stopped early · best epoch 4" in shown(True)
    assert "stopped early" not in shown(False)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3"])
def test_patience_counts_epochs(value: object) -> None:
    with pytest.raises(UsageError, match="'patience' got"):
        tw.Plan(patience=value)  # type: ignore[arg-type]

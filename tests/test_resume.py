"""Stopping and going on: bit-identical from any step, after Ctrl-C and after a kill, in real processes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import StoreError, UsageError
from thalweg.events import Event, Progress
from thalweg.train import loop

Digits = tuple[Tensor, Tensor]
OPTIMIZERS = [
    tw.optimizers.SGD(lr=0.05, momentum=0.9, nesterov=True),
    tw.optimizers.SGD(lr=0.05, momentum=0.9, dampening=0.5),
    tw.optimizers.Adagrad(lr=0.05),
    tw.optimizers.RMSprop(lr=0.003, momentum=0.5, centered=True),
    tw.optimizers.Adam(lr=0.003),
    tw.optimizers.AdamW(lr=0.003),
]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))


def plan_of(optimizer: tw.optimizers.Optimizer) -> tw.Plan:
    return tw.Plan(optimizer=optimizer, epochs=3, batch_size=128, clip_norm=1.0, probes=False)


def everything(run: tw.Run) -> dict[str, Tensor]:
    from thalweg.train.checkpoint import load_checkpoint

    folder = run.directory / "checkpoints"
    return load_checkpoint(folder, "last")[0] | {f"best.{k}": v for k, v in load_checkpoint(folder, "best")[0].items()}


def assert_same(a: tw.Run, b: tw.Run) -> None:
    first, second = everything(a), everything(b)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    for name in ("train.loss", "validation.loss", "validation.accuracy", "rate", "step"):
        assert a.history[name] == b.history[name], name


class StopAt:
    """Interrupts the process like Ctrl-C does, once the training stands at a step."""

    def __init__(self, step: int) -> None:
        self.step, self.asked = step, False

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and event.step == self.step and not self.asked:
            self.asked = True
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: f"{type(o).__name__}{o.__dict__.get('dampening', '')}")
@pytest.mark.parametrize("step", [1, 9, 10, 17])
def test_resume_is_bit_identical(
    optimizer: tw.optimizers.Optimizer, step: int, digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten steps an epoch: stops after the first, the last of an epoch, on the boundary, and within the second."""
    monkeypatch.setattr(loop, "LOOK_SECONDS", -1.0)  # a look after every step, so that the stop hits the very step
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    whole = experiment.train(plan_of(optimizer), listeners=())
    stopped = experiment.train(plan_of(optimizer), listeners=[StopAt(step)])
    assert stopped.status == "interrupted"
    assert stopped.store.get("step") in (step, step + 1)
    resumed = experiment.resume(stopped.name, listeners=())
    assert resumed.status == "completed"
    assert_same(whole, resumed)


@pytest.mark.parametrize("batch_size", [128, 2000])
def test_a_process_that_dies_goes_on_from_any_checkpoint(
    batch_size: int, digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint at every look, at boundaries of epochs and within them; the listener dies like a killed process."""
    monkeypatch.setattr(loop, "LOOK_SECONDS", -1.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    plan = plan_of(tw.optimizers.AdamW(lr=0.003)).replace(batch_size=batch_size)
    whole = experiment.train(plan, listeners=())
    for step in (2, 10, 11, 20) if batch_size == 128 else (2, 3):

        def die(event: Event, step: int = step) -> None:
            if isinstance(event, Progress) and event.step == step:
                raise MemoryError("as if killed")

        with pytest.raises(MemoryError):
            experiment.train(plan, listeners=[die])
        folder = max(runs.glob("*/run.sqlite"), key=lambda path: path.stat().st_mtime).parent
        assert tw.Run.open(folder).status == "failed"
        assert_same(whole, experiment.resume(folder.name, listeners=()))


def test_a_run_that_fails_keeps_its_best_weights(digits: Digits, runs: Path) -> None:
    calls = iter(range(10**6))

    def breaking(output: Tensor, target: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(output, target)
        return loss * float("nan") if next(calls) > 25 else loss

    experiment = tw.Experiment(network, train=digits, loss=breaking, directory=runs)
    run = experiment.train(plan_of(tw.optimizers.AdamW(lr=0.003)), listeners=())
    assert run.status == "failed"
    assert run.store.get("best")["epoch"] >= 1
    reopened = experiment.open(run.name)
    assert all(bool(p.isfinite().all()) for p in reopened.network.parameters())
    assert (reopened.predict(digits[0]) == digits[1].numpy()).mean() > 0.5


def test_a_complete_run_is_extended(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    plan = plan_of(tw.optimizers.SGD(lr=0.01)).replace(schedule=tw.schedules.Constant())
    run = experiment.train(plan, listeners=())
    with pytest.raises(UsageError, match="complete"):
        experiment.resume(run)
    longer = experiment.resume(run, epochs=5, listeners=())
    assert len(longer.history["train.loss"]) == 5
    assert_same(experiment.train(plan.replace(epochs=5), listeners=()), longer)


def test_a_run_of_other_data_is_refused(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    run = experiment.train(plan_of(tw.optimizers.SGD(lr=0.01)), listeners=())
    other = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs, seed=1)
    with pytest.raises(UsageError, match="other rows"):
        other.resume(run.name, epochs=9)


def test_a_damaged_checkpoint_is_named_and_the_run_stays_readable(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    run = experiment.train(plan_of(tw.optimizers.SGD(lr=0.01)), listeners=())
    file = next((run.directory / "checkpoints").glob("last-*.safetensors"))
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(StoreError, match="damaged"):
        experiment.resume(run.name, epochs=9, listeners=())
    assert len(tw.Run.open(run.directory).history["train.loss"]) == 3


def test_a_damaged_store_is_named(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    run = experiment.train(plan_of(tw.optimizers.SGD(lr=0.01)), listeners=())
    run.store.close()
    (run.directory / "run.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        _ = tw.Run.open(run.directory).history


SCRIPT = """
import sys
import torch
from sklearn.datasets import load_digits
from torch import nn
import thalweg as tw

torch.set_num_threads(1)
digits = load_digits()
def network():
    return nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))
x = torch.tensor(digits.data, dtype=torch.float32)
experiment = tw.Experiment(network, train=(x, digits.target), loss="cross_entropy", directory=sys.argv[1], name="it")
plan = tw.Plan(optimizer=tw.optimizers.AdamW(lr=0.003), epochs=int(sys.argv[2]), batch_size=128, probes=False)
if sys.argv[3] == "train":
    run = experiment.train(plan, listeners=[lambda e: print(type(e).__name__, flush=True)])
else:
    run = experiment.resume("it-1", listeners=())
print(run.status, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_interrupt_of_a_real_process(number: signal.Signals, tmp_path: Path) -> None:
    def start(folder: str, verb: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / folder), "400", verb]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    process = start("stopped", "train")
    assert process.stdout is not None
    while "EpochEnded" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(number)
    assert process.communicate()[0].strip().endswith("interrupted")
    assert process.returncode == 0
    assert 0 < tw.Run.open(tmp_path / "stopped" / "it-1").store.get("step") < 4000
    assert start("stopped", "resume").communicate()[0].strip() == "completed"
    assert start("whole", "train").communicate()[0].strip().endswith("completed")
    assert_same(tw.Run.open(tmp_path / "whole" / "it-1"), tw.Run.open(tmp_path / "stopped" / "it-1"))

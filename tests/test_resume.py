"""Stopping and going on: bit-identical from any step, after Ctrl-C, a kill, a full disk, in real processes."""

import importlib.util
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import StoreError, UsageError
from thalweg.events import Event, Progress, RunStarted, StageEnded
from thalweg.lock import locked
from thalweg.show.runs import list_runs
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


def benchmark(name: str) -> ModuleType:
    """A script of the benchmarks, whose exhaustive form is sampled here."""
    path = Path(__file__).parent.parent / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look and a checkpoint after every step."""
    monkeypatch.setattr(loop, "LOOK_SECONDS", -1.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(loop, "SAVING_SHARE", math.inf)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(("name", "workers"), [("SGD", 0), ("RMSprop", 0), ("AdamW", 0), ("Adam", 2)])
def test_a_stop_at_a_step_changes_nothing(name: str, workers: int, tmp_path: Path) -> None:
    """Within an epoch, before its short last window, at its end, after it; the benchmark stops at every step."""
    resume = benchmark("resume")
    found = resume.differences_after_stops(resume.plan_of(resume.OPTIMIZERS[name], workers), [1, 6, 7, 10], tmp_path)
    assert found == {1: [], 6: [], 7: [], 10: []}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_a_run_that_is_killed_again_and_again_ends_the_same(tmp_path: Path) -> None:
    """The benchmark kills 50 times."""
    import random

    kill = benchmark("kill")
    whole = kill.experiment_in(tmp_path / "whole").train(kill.PLAN, listeners=())
    _, faults = kill.kill_and_finish(whole, tmp_path / "killed", 4, random.Random(time.time_ns()))
    assert not faults


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: f"{type(o).__name__}{o.__dict__.get('dampening', '')}")
def test_ctrl_c_between_two_steps(
    optimizer: tw.optimizers.Optimizer, digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal itself, within the second of three epochs of ten steps."""
    monkeypatch.setattr(loop, "LOOK_SECONDS", -1.0)  # a look after every step, so that the stop hits the very step
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    whole = experiment.train(plan_of(optimizer), listeners=())
    stopped = experiment.train(plan_of(optimizer), listeners=[StopAt(13)])
    assert stopped.status == "interrupted"
    assert stopped.store.get("step") == 14
    resumed = experiment.resume(stopped.name, listeners=())
    assert resumed.status == "completed"
    assert_same(whole, resumed)


@pytest.mark.parametrize("batch_size", [128, 2000])
def test_a_process_that_dies_goes_on_from_any_checkpoint(
    batch_size: int, digits: Digits, runs: Path, often: None
) -> None:
    """A checkpoint at every look, at boundaries of epochs and within them; the listener dies of an error of its own."""
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    plan = plan_of(tw.optimizers.AdamW(lr=0.003)).replace(batch_size=batch_size)
    whole = experiment.train(plan, listeners=())
    for step in (2, 10, 11, 20) if batch_size == 128 else (2, 3):

        def die(event: Event, step: int = step) -> None:
            if isinstance(event, Progress) and event.step == step:
                raise ZeroDivisionError("in a listener")

        with pytest.raises(ZeroDivisionError):
            experiment.train(plan, listeners=[die])
        folder = max(runs.glob("*/run.sqlite"), key=lambda path: path.stat().st_mtime).parent
        assert tw.Run.open(folder).status == "failed"
        resumed = experiment.resume(folder.name, listeners=())
        assert_same(whole, resumed)
        curve = [r.step for r in resumed.store.readings("train.batch_loss")]
        assert curve == sorted(set(curve))  # nothing is recorded twice


class DieAt:
    """Kills its own process, as the kernel does where memory runs out, at the first event that fits."""

    def __init__(self, fits: Callable[[Event], bool]) -> None:
        self.fits = fits

    def __call__(self, event: Event) -> None:
        if self.fits(event):
            os.kill(os.getpid(), signal.SIGKILL)


def die_in_a_child(experiment: tw.Experiment, plan: tw.Plan, fits: Callable[[Event], bool]) -> str:
    """Trains in a forked process that is killed; the run's name."""
    before = set(experiment.directory.glob("*"))
    context = multiprocessing.get_context("fork")
    process = context.Process(target=experiment.train, args=(plan,), kwargs={"listeners": [DieAt(fits)]})
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (folder,) = {path for path in experiment.directory.glob("*") if path.is_dir()} - before
    return folder.name


BEFORE_THE_FIRST_SAVE: dict[str, Callable[[Event], bool]] = {
    "before the check": lambda event: isinstance(event, RunStarted),
    "after the check": lambda event: isinstance(event, StageEnded) and event.stage == "check",
    "after the race": lambda event: isinstance(event, StageEnded) and event.stage == "probe",
    "in training": lambda event: isinstance(event, Progress),
}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_a_run_killed_before_its_first_checkpoint_begins_again(
    digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOOK_SECONDS", -1.0)
    x, y = digits
    experiment = tw.Experiment(network, train=(x[:400], y[:400]), loss="cross_entropy", directory=runs)
    plan = plan_of(tw.optimizers.SGD(lr=0.05, momentum=0.9)).replace(probes=True, epochs=2)
    whole = experiment.train(plan, listeners=())
    for moment, fits in BEFORE_THE_FIRST_SAVE.items():
        name = die_in_a_child(experiment, plan, fits)
        assert not (runs / name / "checkpoints" / "last.json").exists()
        assert tw.Run.open(runs / name).status == "interrupted"
        resumed = experiment.resume(name, listeners=())
        assert resumed.status == "completed"
        assert_same(whole, resumed)
        assert resumed.decisions == whole.decisions
        for reading in ("train.loss", "loss.initial", "plan.rate", "fit.train_loss"):
            count = len(whole.store.readings(reading))
            assert len(resumed.store.readings(reading)) == count == {"train.loss": 2}.get(reading, 1), (moment, reading)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_a_killed_run_is_listed_moved_read_and_resumed(digits: Digits, runs: Path, tmp_path: Path, often: None) -> None:
    """Its folder is copied with the log of the store beside it, as it stands after the kill."""
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs, name="it")
    plan = plan_of(tw.optimizers.Adam(lr=0.003))
    name = die_in_a_child(experiment, plan, lambda event: isinstance(event, Progress) and event.step == 14)
    assert (runs / name / "run.sqlite-wal").stat().st_size
    elsewhere = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(runs / name, elsewhere)
    assert [line.status for line in list_runs(runs)] == ["interrupted"]
    with locked(runs / name):
        assert [line.status for line in list_runs(runs)] == ["running"]
    shutil.rmtree(runs / name)
    opened = tw.Run.open(elsewhere, network=network())
    assert len(opened.history["train.loss"]) == 1
    assert (opened.predict(digits[0]) == digits[1].numpy()).mean() > 0.2
    assert Path(opened.report()).stat().st_size > 1000
    resumed = experiment.resume(opened, listeners=())
    assert resumed.directory == elsewhere
    assert_same(experiment.train(plan, listeners=()), resumed)


def test_a_run_that_fails_keeps_its_best_weights(digits: Digits, runs: Path) -> None:
    calls = iter(range(10**6))

    def breaking(output: Tensor, target: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(output, target)
        return loss * float("nan") if next(calls) > 30 else loss

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


def test_epochs_that_ask_for_no_more_are_refused(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    run = experiment.train(plan_of(tw.optimizers.SGD(lr=0.01)), listeners=())
    for epochs in (3, 2):
        with pytest.raises(UsageError, match=rf"has trained 3 epochs; epochs={epochs} asks for no more"):
            experiment.resume(run, epochs=epochs, listeners=())
    with pytest.raises(UsageError, match="epochs"):
        experiment.resume(run, epochs=0, listeners=())
    assert run.status == "completed"
    assert run.plan.epochs == 3
    assert len(run.store.readings("fit.train_loss")) == 1


def test_a_run_that_stopped_early_is_extended(digits: Digits, runs: Path) -> None:
    """The rate is so high that no epoch is better for long; asked for, it trains all epochs."""
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    plan = plan_of(tw.optimizers.SGD(lr=30.0)).replace(epochs=12, patience=2, selection="loss")
    run = experiment.train(plan, listeners=())
    assert run.status == "completed"
    trained = len(run.history["train.loss"])
    assert trained < 12
    with pytest.raises(UsageError, match="is complete"):
        experiment.resume(run, listeners=())
    longer = experiment.resume(run, epochs=12, listeners=())
    assert len(longer.history["train.loss"]) == 12
    assert longer.plan.patience is None
    assert {d["field"]: d["value"] for d in longer.decisions}["patience"] == "None"
    assert_same(experiment.train(plan.replace(patience=None), listeners=()), longer)


def test_a_run_that_stopped_early_stays_so_when_killed_at_its_end(
    digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thalweg import session

    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    plan = plan_of(tw.optimizers.SGD(lr=30.0)).replace(epochs=12, patience=2, selection="loss")
    whole = experiment.train(plan, listeners=())
    with monkeypatch.context() as patched:
        patched.setattr(session, "diagnose", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            experiment.train(plan, listeners=())
    name = next(p.name for p in runs.iterdir() if p.is_dir() and p.name != whole.name and (p / "run.sqlite").is_file())
    assert_same(whole, experiment.resume(name, listeners=()))


def test_what_differs_since_a_run_was_started_is_said(
    digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOOK_SECONDS", -1.0)
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    events: list[Event] = []
    run = experiment.train(plan_of(tw.optimizers.SGD(lr=0.01)), listeners=[StopAt(12)])
    environment = run.store.get("environment")
    run.store.put({"environment": environment | {"torch": "2.0.1", "threads": 64, "python": "3.9.1"}})
    resumed = experiment.resume(run, listeners=[events.append])
    (stage,) = [e for e in events if isinstance(e, StageEnded) and e.stage == "resume"]
    changed = f"torch 2.0.1 → {torch.__version__}, threads 64 → {torch.get_num_threads()}"
    assert stage.facts == ("from step 13 of 30, epoch 2", f"not bit-identical to an unbroken run: {changed}")
    (noted,) = resumed.store.get("resumes")
    assert noted["step"] == 13
    assert len(noted["differences"]) == 2


def test_two_trainings_of_one_run_are_refused(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    plan = plan_of(tw.optimizers.SGD(lr=0.01))
    refused: list[str] = []

    def try_too(event: Event) -> None:
        if isinstance(event, Progress) and not refused:
            name = next(runs.glob("*/run.sqlite")).parent.name
            opened = experiment.open(name)
            assert opened.status == "running"
            for act in (experiment.resume, experiment.evaluate):
                with pytest.raises(StoreError, match=r"in use: process \d+ \(this one\)") as caught:
                    act(opened)
                refused.append(str(caught.value))

    run = experiment.train(plan, listeners=[try_too])
    assert len(refused) == 2
    assert run.status == "completed"
    assert experiment.data.test is not None
    assert experiment.data.test.count() == 0


def test_a_clock_that_goes_back_changes_nothing(
    digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch, often: None
) -> None:
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    plan = plan_of(tw.optimizers.SGD(lr=0.01))
    whole = experiment.train(plan, listeners=())
    real, shift = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: real() - 3600.0 * next(shift))
    stopped = experiment.train(plan, listeners=[StopAt(12)])
    resumed = experiment.resume(stopped, listeners=())
    assert_same(whole, resumed)
    assert resumed.history["step"] == sorted(resumed.history["step"])
    assert all(seconds >= 0 for seconds in resumed.history["epoch.seconds"])
    assert 0 <= resumed.store.get("seconds") < 600


def test_an_epoch_costs_the_store_the_same_early_and_late(digits: Digits, runs: Path) -> None:
    """With monitors on: the rows of 30 epochs in the middle against the last 30 of 120."""
    x, y = digits
    experiment = tw.Experiment(network, train=(x[:200], y[:200]), loss="cross_entropy", directory=runs)
    run = experiment.train(plan_of(tw.optimizers.SGD(lr=0.01)).replace(epochs=120, batch_size=16), listeners=())
    steps = [r.step for r in run.store.readings() if r.step is not None and not r.name.startswith("fit.")]
    total = run.store.get("num_steps")
    middle = sum(total // 4 < step <= total // 2 for step in steps)
    last = sum(3 * total // 4 < step <= total for step in steps)
    assert last < 1.5 * middle


def test_a_nan_stays_in_the_history(digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A validation loss that is not finite for one epoch is recorded as such, and survives stopping and going on."""
    monkeypatch.setattr(loop, "LOOK_SECONDS", -1.0)
    epochs = iter(range(100))

    def sometimes(output: Tensor, target: Tensor) -> float:
        return math.nan if next(epochs) == 0 else 0.5

    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs, metrics=[sometimes])
    plan = plan_of(tw.optimizers.SGD(lr=0.01)).replace(selection="loss")
    stopped = experiment.train(plan, listeners=[StopAt(14)])
    resumed = experiment.resume(stopped, listeners=())
    values = resumed.history["validation.sometimes"]
    assert math.isnan(values[0])
    assert values[1:] == [0.5, 0.5]


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


def test_a_network_that_does_not_fit_is_refused(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    run = experiment.train(plan_of(tw.optimizers.SGD(lr=0.01)), listeners=())
    wider = nn.Sequential(nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 10))
    other = nn.Sequential(nn.Linear(64, 10))
    for wrong in (wider, other):
        stranger = tw.Experiment(wrong, train=digits, loss="cross_entropy", directory=runs)
        with pytest.raises(StoreError, match="does not fit this model"):
            stranger.resume(run.name, epochs=9, listeners=())
    assert run.status == "completed"
    assert run.plan.epochs == 3
    assert len(run.store.readings("fit.train_loss")) == 1


def test_a_best_checkpoint_that_is_missing_is_named(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    run = experiment.train(plan_of(tw.optimizers.SGD(lr=0.01)), listeners=())
    (run.directory / "checkpoints" / "best.json").unlink()
    with pytest.raises(StoreError, match=r"no checkpoint 'best'.*best\.json is missing"):
        experiment.resume(run.name, epochs=9, listeners=())
    with pytest.raises(StoreError, match="no checkpoint 'best'"):
        _ = experiment.open(run.name).network


def test_a_run_that_is_no_folder_is_refused(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    runs.mkdir(exist_ok=True)
    (runs / "file").write_text("no run")
    (runs / "empty").mkdir()
    for name in ("file", "empty", "nowhere"):
        with pytest.raises(StoreError, match="There is no run at"):
            experiment.resume(name)
    (runs / "half").mkdir()
    (runs / "half" / "run.sqlite").touch()
    with pytest.raises(StoreError, match="Nothing is lost"):
        experiment.resume("half")


# ---------------------------------------------------------------------- a disk that fills


def limited(experiment: tw.Experiment, plan: tw.Plan, size: int, answer: "multiprocessing.Queue[str]") -> None:
    """Trains where no file may grow beyond `size` bytes; answers with the error."""
    import resource

    loop.LOOK_SECONDS = loop.CHECKPOINT_SECONDS = -1.0
    loop.SAVING_SHARE = math.inf
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        experiment.train(plan, listeners=())
    except StoreError as error:
        answer.put("\n".join([str(error), *error.__notes__]))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits a forked process")
@pytest.mark.parametrize("first", ["checkpoint", "store"])
def test_files_that_may_not_grow_end_the_run_and_lose_nothing(first: str, digits: Digits, runs: Path) -> None:
    """A process whose files may hold so many bytes: fewer than a checkpoint has, or fewer than the store will have."""
    wide = 512 if first == "checkpoint" else 8

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(64, wide), nn.BatchNorm1d(wide), nn.ReLU(), nn.Linear(wide, 10))

    experiment = tw.Experiment(build, train=digits, loss="cross_entropy", directory=runs, name="it")
    plan = plan_of(tw.optimizers.Adam(lr=0.003)).replace(epochs=30)
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    size = 300_000 if first == "checkpoint" else 120_000
    process = context.Process(target=limited, args=(experiment, plan, size, answer))
    process.start()
    message = answer.get(timeout=60)
    process.join()
    assert process.exitcode == 0
    what = (
        r"checkpoint 'last' could not be written.*needs 0\.\d MB.*before it is intact"
        if first == "checkpoint"
        else ("store .* cannot be written.*written before is safe")
    )
    import re

    assert re.search(what, message)
    assert "The run it-1 is interrupted; `thalweg resume" in message
    assert tw.Run.open(runs / "it-1").status == "interrupted"
    assert not list((runs / "it-1" / "checkpoints").glob(".*"))
    assert_same(experiment.train(plan, listeners=()), experiment.resume("it-1", listeners=()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own needs the right to mount one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("left", [0, 40_000, 150_000])
def test_a_disk_that_fills_ends_the_run_and_loses_nothing(
    left: int, digits: Digits, small_disk: Path, runs: Path, often: None
) -> None:
    """Someone fills the disk within the training but for some bytes; once they are gone, the run goes on."""

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 10))

    def fill(event: Event) -> None:
        if isinstance(event, Progress) and event.step == 13:
            free = shutil.disk_usage(small_disk).free
            (small_disk / "other").write_bytes(bytes(max(free - left, 0)))

    own = tw.Experiment(build, train=digits, loss="cross_entropy", directory=small_disk / "runs", name="it")
    plan = plan_of(tw.optimizers.Adam(lr=0.003))
    with pytest.raises(StoreError, match=r"MB are free on the disk"):
        own.train(plan, listeners=[fill])
    assert tw.Run.open(small_disk / "runs" / "it-1").status == "interrupted"
    (small_disk / "other").unlink()
    resumed = own.resume("it-1", listeners=())
    assert resumed.status == "completed"
    whole = tw.Experiment(build, train=digits, loss="cross_entropy", directory=runs).train(plan, listeners=())
    assert_same(whole, resumed)
    resumed.store.close()


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
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / folder), "120", verb]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    process = start("stopped", "train")
    assert process.stdout is not None
    while "EpochEnded" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(number)
    assert process.communicate()[0].strip().endswith("interrupted")
    assert process.returncode == 0
    assert 0 < tw.Run.open(tmp_path / "stopped" / "it-1").store.get("step") < 1200
    assert start("stopped", "resume").communicate()[0].strip() == "completed"
    assert start("whole", "train").communicate()[0].strip().endswith("completed")
    assert_same(tw.Run.open(tmp_path / "whole" / "it-1"), tw.Run.open(tmp_path / "stopped" / "it-1"))


# ---------------------------------------------------------------------- a terminal that closes


def train_in_terminal(experiment: tw.Experiment, plan: tw.Plan, *, nohup: bool) -> None:
    """In a child that owns a terminal of its own: the live output is drawn there."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
    os.environ["TERM"] = "xterm"
    for number in (0, 1, 2):
        os.dup2(os.open(os.ttyname(0), os.O_RDWR), number)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8")
    experiment.train(plan)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a terminal of POSIX")
@pytest.mark.parametrize("nohup", [False, True])
def test_a_terminal_that_closes(nohup: bool, digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its signal ends the run with a checkpoint; under `nohup` the run goes on, though nobody reads it any more."""
    import pty

    monkeypatch.setattr(loop, "LOOK_SECONDS", 0.05)
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs, name="it")
    plan = plan_of(tw.optimizers.SGD(lr=0.01)).replace(epochs=200)
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            train_in_terminal(experiment, plan, nohup=nohup)
        finally:
            os._exit(sys.exc_info()[0] is not None)
    seen = b""
    while b"epoch 4/" not in seen:  # on the bar
        seen += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    run = tw.Run.open(runs / "it-1")
    assert os.waitstatus_to_exitcode(status) == 0
    assert run.status == ("completed" if nohup else "interrupted")
    assert (len(run.history["train.loss"]) == 200) == nohup
    if not nohup:
        assert 30 <= run.store.get("step") < 2000
        assert experiment.resume(run, listeners=()).status == "completed"


def test_a_reader_that_leaves_ends_no_training(digits: Digits, runs: Path) -> None:
    """A pipe without a reader, a file that was closed: the listener hears no more, the others do."""
    heard: list[Event] = []
    reader, writer = os.pipe()
    os.close(reader)

    def to_a_pipe(event: Event) -> None:
        os.write(writer, b"told")

    def to_a_closed_file(event: Event) -> None:
        closed.write("told")

    closed = (runs.parent / "closed").open("w")
    closed.close()
    experiment = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs)
    listeners = [to_a_pipe, to_a_closed_file, heard.append]
    run = experiment.train(plan_of(tw.optimizers.SGD(lr=0.01)), listeners=listeners)
    os.close(writer)
    assert run.status == "completed"
    assert type(heard[-1]).__name__ == "RunEnded"

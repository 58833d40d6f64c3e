"""Stored runs examined again: what their plan left out, and runs that were interrupted."""

import signal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.events import EpochEnded
from thalweg.store import FILE, Store

RATE = tw.optimizers.SGD(lr=0.05)


def experiment_of(runs, *, equal=True):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 8, generator=generator)

    def build():
        network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
        for layer in network if equal else ():
            if isinstance(layer, nn.Linear):
                nn.init.constant_(layer.weight, 0.1)
                nn.init.zeros_(layer.bias)
        return network

    return tw.Experiment(build, train=(x, (x[:, 0] > 0).long()), loss="cross_entropy", directory=runs)


def weights_of(run):
    return {path.name: load_file(path) for path in (run.directory / "checkpoints").glob("*.safetensors")}


def test_what_the_plan_left_out_is_made_up_for_and_the_run_stays_as_it_is(runs):
    experiment = experiment_of(runs)
    run = experiment.train(tw.Plan(epochs=3, optimizer=RATE, probes=False), listeners=())
    before, history = weights_of(run), run.history
    assert run.findings == ()
    assert run.verdict.startswith(("Healthy as far as it was examined", "Not learning"))
    torch.manual_seed(5)
    random = torch.rand(1)
    torch.manual_seed(5)
    found = experiment.diagnose(run)
    assert torch.equal(torch.rand(1), random)
    assert found.causes[0].cause == "init_constant"
    assert "INIT01" in {f.code for f in run.findings}
    assert run.verdict == found.verdict
    assert run.diagnosis == found == tw.Run.open(run.directory).diagnosis
    assert run.status == "completed"
    assert run.history == history
    after = weights_of(run)
    assert all(torch.equal(after[file][name], value) for file, old in before.items() for name, value in old.items())
    assert len(run.store.readings("loss.initial")) == 1
    experiment.diagnose(run, seconds=0.0)
    assert len(run.store.readings("loss.initial")) == 1  # a check is made once


def test_an_interrupted_run_is_diagnosed_and_resumed(runs):
    experiment = experiment_of(runs, equal=False)

    def stop(event):
        if isinstance(event, EpochEnded) and event.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    run = experiment.train(tw.Plan(epochs=60, optimizer=RATE), listeners=(stop,))
    assert run.status == "interrupted"
    assert "outcome.score" not in run.store.readings("outcome.")
    found = experiment.diagnose(run)
    assert run.status == "interrupted"
    assert "outcome.score" in run.store.readings("outcome.")
    assert "INIT01" in found.passed
    steps = int(run.store.get("step"))
    assert run.store.readings("outcome.score").last("outcome.score").step == steps
    resumed = experiment.resume(run, epochs=4, listeners=())
    assert resumed.status == "completed"
    assert resumed.diagnosis.verdict == resumed.verdict


def test_old_runs_open_without_a_diagnosis_and_runs_without_a_plan_say_so(runs):
    experiment = experiment_of(runs)
    run = experiment.train(tw.Plan(epochs=1, optimizer=RATE), listeners=())
    store = Store(run.directory / FILE)
    store.put({"diagnosis": None})
    old = tw.Run.open(run.directory).diagnosis
    assert old.findings == tuple(run.findings)
    assert [each.cause for each in old.causes] == ["init_constant"]
    store.put({"plan": None})
    with pytest.raises(UsageError, match="before its first step"):
        experiment.diagnose(run.name)

"""`tuned=True`: each arm's own rate, found at equal cost under a seed that is not compared."""

import json
import math

import pytest
import torch
from torch import nn

from thalweg.compare.contest import FILE
from thalweg.errors import UsageError
from thalweg.experiment import Experiment
from thalweg.parts.optimizers import SGD, Adam
from thalweg.plan import Plan

X = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))


def experiment(folder) -> Experiment:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))

    return Experiment(build, train=(X, X[:, :1].sin() + X[:, 1:2]), loss="mse", directory=folder)


def quick(**changes) -> Plan:
    return Plan.plain(**{"optimizer": Adam(lr=0.01), "epochs": 3, "batch_size": 32} | changes)


def test_every_arm_gets_its_best_rate_by_as_many_trainings(tmp_path):
    own = experiment(tmp_path)
    # Adam's rate is 10 times too low to begin with, SGD's is near its best.
    arms = {"optimizer": [SGD(lr=0.1), Adam(lr=0.001)]}
    found = own.compare(arms, plan=quick(), seeds=[0, 1], tuned=True, listeners=())
    assert {arm.name for arm in found.arms} == {"SGD", "Adam"}  # not named after the rates they began with
    facts = json.loads((tmp_path / found.folder / FILE).read_text())
    tuning = facts["tuning"]
    assert tuning["seed"] not in found.seeds
    counts = {name: len(rates) for name, rates in tuning["rates"].items()}
    assert counts["SGD"] == counts["Adam"]
    assert tuning["trainings"] == sum(counts.values())
    for name, rates in tuning["rates"].items():
        best = min(rates, key=lambda each: math.inf if each["value"] is None else each["value"])["rate"]
        runs = [own.open(run) for run in found.runs[name]]
        assert {run.plan.optimizer.lr for run in runs} == {best}
        tried = sorted(each["rate"] for each in rates)
        assert min(tried) <= 0.1 * (0.1 if name == "SGD" else 0.001) * (1 + 1e-9)
        assert sum(1 for run in (tmp_path / found.folder).glob(f"tune-{name.lower()}-*")) == counts[name]
    adam = sorted(each["rate"] for each in tuning["rates"]["Adam"])
    assert adam[-1] == pytest.approx(0.1, rel=1e-6)  # its best was at the edge, and two rates beyond were tried
    assert counts["Adam"] == 7
    note = next(note for note in found.notes if "tuned before" in note)
    assert f"under seed {tuning['seed']}" in note
    assert "14 trainings" in note


def test_a_rate_that_is_raced_is_where_the_tuning_begins(tmp_path):
    own = experiment(tmp_path)
    arms = {"optimizer": ["SGD", "Adam"]}
    found = own.compare(arms, plan=quick(probes=False), seeds=[0, 1], tuned=True, listeners=())
    tuning = json.loads((tmp_path / found.folder / FILE).read_text())["tuning"]
    for rates in tuning["rates"].values():
        tried = [each["rate"] for each in rates]
        assert tried[1:5] == pytest.approx([tried[0] * factor for factor in (10**-0.5, 10**0.5, 0.1, 10)])
    assert not any("raced once" in note for note in found.notes)  # the tuned rates are told instead


def test_rates_that_are_compared_are_not_tuned(tmp_path):
    with pytest.raises(UsageError, match="differ in the rate only"):
        experiment(tmp_path).compare({"optimizer.lr": [0.1, 0.01]}, plan=quick(), tuned=True)


def test_a_tuning_that_does_not_fit_is_refused_after_its_first_training(tmp_path):
    own = experiment(tmp_path)
    own.train(quick(), listeners=())
    arms = {"optimizer": [SGD(lr=0.1), Adam(lr=0.01)]}
    with pytest.raises(UsageError, match=r"too short for the tuning and one seed for each arm.*12 of them"):
        own.compare(arms, plan=quick(epochs=60), tuned=True, budget=0.6, listeners=())
    (folder,) = tmp_path.glob("compare-*")
    assert 1 <= len(list(folder.glob("*/run.sqlite"))) <= 3


def test_rates_without_a_value_are_not_chosen(tmp_path):
    own = experiment(tmp_path)
    arms = {"activation": ["relu", "tanh"]}
    plan = quick(optimizer=SGD(lr=3.0))  # that and above diverges
    found = own.compare(arms, plan=plan, seeds=[0, 1], tuned=True, listeners=())
    assert all(value is not None for arm in found.arms for value in arm.values)

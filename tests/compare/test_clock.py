"""Budgets: no training is begun that would not fit, and what is finished is kept."""

import time

import pytest
import torch
from torch import nn

from thalweg.compare.clock import Clock, seconds_of
from thalweg.errors import UsageError
from thalweg.events import EpochEnded
from thalweg.experiment import Experiment
from thalweg.parts.activations import GELU, ReLU
from thalweg.parts.optimizers import Adam
from thalweg.plan import Plan

X = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))


def experiment(folder) -> Experiment:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

    return Experiment(build, train=(X, X[:, :1].sin()), loss="mse", directory=folder)


def plan(**changes) -> Plan:
    return Plan.plain(**{"optimizer": Adam(lr=0.01), "epochs": 1, "batch_size": 32} | changes)


@pytest.mark.parametrize("budget", ["10 parsecs", "-5s", 0, -1.0, float("nan"), float("inf"), True, "", "min"])
def test_wrong_budgets_are_refused(budget, tmp_path):
    with pytest.raises(UsageError, match=r"budget got .*'10min'"):
        experiment(tmp_path).compare(activation=[ReLU(), GELU()], plan=plan(), budget=budget)
    assert not list(tmp_path.glob("compare-*"))


def test_texts_of_budgets():
    told = {"45": 45.0, "90s": 90.0, "1.5 h": 5400.0, "10min": 600.0, "2 minutes": 120.0, "3m": 180.0, "1hour": 3600.0}
    assert {text: seconds_of(text) for text in told} == told


def slow(seconds: float):
    """A listener that makes every epoch take so long."""

    def wait(event) -> None:
        if isinstance(event, EpochEnded):
            time.sleep(seconds)

    return wait


def test_no_seed_is_begun_that_would_not_fit(tmp_path):
    own = experiment(tmp_path)
    own.train(plan(), listeners=())  # imports are done
    started = time.monotonic()
    arms = {"activation": [ReLU(), GELU()]}
    found = own.compare(arms, plan=plan(), seeds=50, budget=3.0, listeners=(slow(0.3),))
    assert time.monotonic() - started < 4.5  # the last seed fitted by what the ones before took
    complete = [len(runs) for runs in found.runs.values()]
    assert complete[0] == complete[1]  # a seed is trained for all arms or for none
    assert 1 <= complete[0] <= 5
    assert f"The budget of 3.0 s ended it after {complete[0]} of 50 seeds." in found.notes


def test_too_short_for_one_seed_of_each(tmp_path):
    own = experiment(tmp_path)
    with pytest.raises(
        UsageError, match=r"A budget of 500 ms is too short for one seed for each arm\. A training takes"
    ) as caught:
        own.compare(activation=[ReLU(), GELU(), None], plan=plan(), budget=0.5, listeners=(slow(0.4),))
    folder = next(tmp_path.glob("compare-*"))
    assert str(folder) in str(caught.value)
    assert list(folder.glob("*/run.sqlite"))


def test_a_first_training_that_outlasts_the_budget_is_stopped(tmp_path):
    own = experiment(tmp_path)
    started = time.monotonic()
    with pytest.raises(UsageError, match=r"too short for one seed.*2 of them"):
        own.compare(activation=[ReLU(), GELU()], plan=plan(epochs=10_000), budget=1.0, listeners=(slow(0.05),))
    assert time.monotonic() - started < 10
    run = next(tmp_path.glob("compare-*/relu-*"))
    assert own.open(f"{run.parent.name}/{run.name}").status == "interrupted"  # it can be resumed


def test_what_is_expected_of_an_arm():
    clock = Clock(10.0)
    assert clock.expected("a") is None
    clock.begin("a")
    clock.began -= 2.0
    clock.share = 0.25
    assert clock.expected("a") == pytest.approx(8.0, rel=0.01)
    assert clock.end() == pytest.approx(2.0, rel=0.01)
    assert clock.expected("b") == clock.expected("a") == pytest.approx(2.0, rel=0.01)
    assert clock.fits("a", "b")
    assert not clock.fits(*"aaaaaa")
    assert "3 of them 6.0 s" in str(clock.refuse(["a", "b", "c"], 1, "here"))

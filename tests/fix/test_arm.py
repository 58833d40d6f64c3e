"""Trainings on several seeds: each as the run would be, one by one or as a population."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import thalweg as tw
from thalweg.examination import bench_of
from thalweg.fix.arm import Arm, Seat
from thalweg.fix.change import Change
from thalweg.fix.trial import seat
from thalweg.measure.score import best_constant
from thalweg.probes.budget import Budget

X, Y = (torch.tensor(part) for part in load_digits(return_X_y=True))


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def arm(directory: Path, *, rate: float = 0.01, epochs: int = 3, **changes: object) -> Arm:
    experiment = tw.Experiment(build, train=(X.float(), Y), test=False, loss="cross_entropy", directory=directory)
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=rate), batch_size=64, epochs=epochs, seed=0, **changes)
    constant = best_constant(experiment.data.validation.target, task=experiment.task)
    setup = experiment._set_up(plan)
    start = bench_of(setup.network, experiment.loss, setup, experiment.data, plan=setup.plan, budget=Budget(60.0))
    return Arm(experiment, plan, (), start, None, Budget(60.0), constant=constant)


def test_an_arm_is_the_training_that_the_run_would_be(tmp_path: Path):
    own = arm(tmp_path, preprocessing="standardize")
    for seed in (0, 3):
        run = own.experiment.train(own.plan.replace(seed=seed), listeners=())
        score = own.score(1.0, seed=seed)
        assert score is not None
        assert score.value == pytest.approx(run.history["validation.accuracy"][-1])


def test_shares_are_of_its_own_steps(tmp_path: Path):
    own = arm(tmp_path)
    larger = own.with_changes([Change("larger", "", {"batch_size": 256})])
    rows = len(own.experiment.data.train)
    assert (own.num_steps, larger.num_steps) == (3 * -(-rows // 64), 3 * -(-rows // 256))
    assert own.steps_at(0.5) == own.num_steps // 2
    assert own.steps_at(0.001) == 5
    assert own.score(0.25, seed=0) is own.score(0.25, seed=0)  # once
    assert own.seconds_to(0.25, 0, 1.0) == 0


def test_one_that_diverged_answers_as_a_constant(tmp_path: Path):
    own = arm(tmp_path, rate=1e30)
    assert own.score(1.0, seed=0) is own.constant


@pytest.mark.parametrize("rate", [0.01, 1e30])
def test_a_quick_score_is_that_of_rows_evenly_spaced(tmp_path: Path, rate: float):
    """As the whole score has them; of one that diverged, too."""
    own = arm(tmp_path, rate=rate)
    own.few = 100
    quick, whole = own.score(0.5, seed=1, quick=True), own.score(0.5, seed=1)
    assert quick is not None
    assert whole is not None
    assert whole.labels is not None
    assert quick.labels is not None
    positions = torch.from_numpy(np.linspace(0, len(whole.each) - 1, 100).astype(int))
    assert torch.equal(quick.labels, whole.labels[positions])
    assert torch.equal(quick.each, whole.each[positions])
    assert own.score(0.5, seed=1, quick=True) is quick  # once
    assert len(own.lanes) == 1
    assert own.lanes[1].lost if rate > 1 else own.lanes[1].done == own.steps_at(0.5)  # one training for both


def test_a_head_that_few_rows_show_is_that_of_all(tmp_path: Path):
    own = arm(tmp_path)
    softmax = own.with_changes([Change("last", "", network=lambda net, _: nn.Sequential(net, nn.Softmax(1)))])
    softmax.score(0.1, seed=0)
    own.score(0.1, seed=0)
    assert softmax.head is not None
    assert own.head is not None
    assert (softmax.head.kind, own.head.kind) == ("softmax", "none")


def test_without_time_there_is_no_score(tmp_path: Path):
    own = arm(tmp_path, epochs=200)
    own.budget = Budget(0.0)
    assert own.score(1.0, seed=0) is None


@pytest.mark.parametrize("preprocessing", ["none", "standardize"])
def test_seats_of_a_population_are_the_same_trainings(tmp_path: Path, preprocessing: str):
    one_by_one, crew = (arm(tmp_path, preprocessing=preprocessing, rate=0.001) for _ in range(2))
    seeds = [5, 6, 7]
    crew.seat(seeds, 1.0)
    assert len({id(lane.crew) for lane in crew.lanes.values()}) == 1
    assert len(crew.lanes[5].crew.lanes.parts) == 1  # one population
    for share in (0.5, 1.0):
        for seed in seeds:
            mine, theirs = crew.score(share, seed=seed), one_by_one.score(share, seed=seed)
            assert mine is not None
            assert theirs is not None
            differing = (mine.each != theirs.each).double().mean()
            assert differing <= 2 / len(mine.each)  # float32 sums in another order
    assert crew.lanes[5].done == crew.num_steps


def test_a_network_that_drops_is_not_seated(tmp_path: Path):
    own = arm(tmp_path)
    network = nn.Sequential(nn.Linear(64, 32), nn.Dropout(0.2), nn.Linear(32, 10))
    own.bench = replace(own.bench, network=network)
    seat((own, own), 1.0, [1, 2, 3], pace=1.0)
    assert own.drops
    assert not own.lanes


def test_both_arms_are_seated_or_neither(tmp_path: Path):
    control = arm(tmp_path)
    changed = control.with_changes([Change("rate", "", {"optimizer.lr": 0.02})])
    seat((control, changed), 1.0, [1, 2, 3], pace=1e-6)
    assert not control.lanes  # not worth it
    seat((control, changed), 1.0, [1, 2, 3], pace=1.0)
    assert all(isinstance(each, Seat) for own in (control, changed) for each in own.lanes.values())
    other = control.with_changes([Change("decay", "", {"optimizer.weight_decay": 0.1})])
    seat((control, other), 1.0, [1, 2, 3], pace=1.0)
    assert not other.lanes  # the control's are known already

"""`seeds="auto"`: seeds are added until more are of no use; arms that are shown to be worse are trained no further."""

import pytest
import torch
from torch import nn

from thalweg.compare.arms import MOST
from thalweg.experiment import Experiment
from thalweg.parts.activations import LeakyReLU
from thalweg.parts.optimizers import SGD
from thalweg.plan import Plan

X = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
Y = X[:, :1].sin() + X[:, 1:2] + 0.5 * torch.randn(300, 1, generator=torch.Generator().manual_seed(1))


def experiment(folder) -> Experiment:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

    return Experiment(build, train=(X, Y), loss="mse", directory=folder)


def quick(**changes) -> Plan:
    return Plan.plain(**{"optimizer": SGD(lr=0.1), "epochs": 2, "batch_size": 32} | changes)


def test_a_hopeless_arm_is_dropped_and_it_ends_early(tmp_path, capsys):
    found = experiment(tmp_path).compare({"optimizer.lr": [0.1, 0.05, 1e-6]}, plan=quick(), seeds="auto")
    counts = {arm.name: sum(value is not None for value in arm.values) for arm in found.arms}
    told = capsys.readouterr().out
    assert counts["SGD(lr=1e-06)"] < MOST
    assert f"dropped after {counts['SGD(lr=1e-06)']} seeds: SGD(lr=1e-06)" in told
    assert all(len(found.runs[name]) == count for name, count in counts.items())
    worst = [d for d in found.differences if "SGD(lr=1e-06)" in (d.better, d.worse)]
    assert any(d.real for d in worst)
    assert all(d.worse == "SGD(lr=1e-06)" for d in worst)
    assert found.test == "anytime"
    total = sum(counts.values())
    assert total < 3 * MOST
    assert any(f"{total} of {3 * MOST} trainings; dropped: SGD(lr=1e-06)" in note for note in found.notes)


def test_equals_are_given_up_before_the_last_seed(tmp_path):
    same = {"activation": [LeakyReLU(slope=1e-6), LeakyReLU(slope=2e-6)]}
    found = experiment(tmp_path).compare(same, plan=quick(), seeds="auto", listeners=())
    assert not found.differences[0].real
    assert found.differences[0].pairs < MOST


@pytest.mark.parametrize("seeds", ["automatic", "5", 0, 1, -3, [1]])
def test_other_words_are_refused(tmp_path, seeds):
    with pytest.raises(ValueError, match=r"compare got seeds=.*'auto'"):
        experiment(tmp_path).compare(epochs=[1, 2], seeds=seeds)

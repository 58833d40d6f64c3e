"""Trainings whose start or activations are the fault are told so by their twins, and healthy ones are not."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg import session
from thalweg.doctor import examinations
from thalweg.doctor.restarts import look_at_the_end, try_other_activations, try_other_starts
from thalweg.plan import Plan

CODES = ("INIT02", "INIT03", "ARCH02", "ACT01", "ACT03")
pytestmark = pytest.mark.slow


class Functional(nn.Module):
    """Softmax over hidden channels, called as a function."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(64, 128), nn.Linear(128, 128), nn.Linear(128, 10)

    def forward(self, x):
        return self.last(self.second(self.first(x).softmax(1)).softmax(1))


def stack(activation, *, depth, width=32, std=None):
    widths = [64, *[width] * depth]
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    if std:
        for layer in layers:
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*(m for layer in layers for m in (layer, activation())), nn.Linear(width, 10))


def residual():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))

        def forward(self, x):
            return x + self.body(x)

    return nn.Sequential(nn.Linear(64, 32), *(Block() for _ in range(8)), nn.Linear(32, 10))


def dying():
    """Two layers of narrow ReLU most of whose units lie far below zero."""
    network = stack(nn.ReLU, depth=3, width=8)
    with torch.no_grad():
        for place in (2, 4):
            network[place].bias[:6] = -3.0
    return network


@pytest.fixture
def told(runs, digits, monkeypatch):
    """Trains under a fixed plan, with time enough for every twin; the findings of these rules."""
    monkeypatch.setattr(session, "budget_of", lambda _: 60.0)
    monkeypatch.setattr(examinations, "AFTER", (try_other_starts, look_at_the_end, try_other_activations))

    def train(model):
        experiment = tw.Experiment(model, train=digits, loss="cross_entropy", directory=runs, seed=0)
        plan = Plan.plain(optimizer=tw.optimizers.Adam(lr=1e-3), epochs=8, batch_size=32, probes=True)
        return [f for f in experiment.train(plan, listeners=()).findings if f.code in CODES and f.counts]

    return train


@pytest.mark.parametrize(
    ("model", "code", "cause"),
    [
        (lambda: stack(nn.Sigmoid, depth=8), "INIT03", "vanishing"),
        (lambda: stack(nn.ReLU, depth=8, std=0.02), "INIT03", "init_scale"),
        (lambda: stack(nn.Tanh, depth=3, std=3.0), "ACT01", "saturation"),
        (lambda: Functional(), "ARCH02", "vanishing"),
        (dying, "ACT03", "dead_units"),
    ],
    ids=["sigmoids", "small weights", "saturated", "softmax", "dead"],
)
def test_the_fault_is_found_with_its_cause(told, model, code, cause):
    found = told(model)
    assert (code, cause) in [(f.code, f.cause) for f in found]
    assert all(f.standing == "verified" for f in found)


@pytest.mark.parametrize(
    "model",
    [
        lambda: stack(nn.ReLU, depth=3, width=64),
        lambda: stack(nn.SELU, depth=10),
        residual,
        lambda: stack(nn.Tanh, depth=4),
    ],
    ids=["relu", "selu", "residual", "tanh"],
)
def test_healthy_networks_are_told_nothing(told, model):
    assert told(model) == []

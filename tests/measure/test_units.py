"""Equal units are told by gradients: what starts equal and drifts apart is healthy."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.units import symmetric_units
from thalweg.probes.first_steps import first_steps
from thalweg.train.clone import clone

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(64, 8, generator=G), torch.randint(0, 4, (64,), generator=G)


def mlp(*inside: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), *inside, nn.Linear(16, 4))


def filled(network: nn.Module, value: float, *places: int) -> nn.Module:
    with torch.no_grad():
        for place in places:
            for p in network[place].parameters():
                p.fill_(value)
    return network


def equal_layers(network: nn.Module) -> dict[str, int]:
    steps = first_steps(clone(network), F.cross_entropy, X, Y)
    readings = symmetric_units(network, steps.weights, steps.gradients)
    return {r.place: int(r.value) for r in readings if r.value < r.count}


@pytest.mark.parametrize("value", [0.01, 1.0, 0.0])
def test_constant_networks_are_found(value):
    assert equal_layers(filled(mlp(), value, 0, 2))["0"] == 1


def test_every_hidden_layer_of_a_constant_network():
    deep = mlp(nn.Linear(16, 16), nn.Tanh())
    assert equal_layers(filled(deep, 0.05, 0, 2, 4)) == {"0": 1, "2": 1}


@pytest.mark.parametrize(
    "network",
    [
        mlp(),
        filled(mlp(), 0.0, 2),  # a last layer of zeros
        filled(mlp(), 1.0, 2),  # a last layer of ones
        filled(mlp(), 0.1, 0),  # equal units, read by different weights
        filled(mlp(nn.Dropout(0.5)), 0.1, 0, 3),  # dropout tells them apart
    ],
)
def test_what_drifts_apart_is_healthy(network):
    assert equal_layers(network) == {}


class Gated(nn.Module):
    """A branch scaled by zero, and a low-rank adapter whose second half is zero: both wake after a step or two."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)
        self.branch, self.gain = nn.Linear(16, 16), nn.Parameter(torch.zeros(1))
        self.down, self.up = nn.Linear(16, 2, bias=False), nn.Linear(2, 16, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        h = torch.relu(self.first(x))
        return self.last(h + self.gain * torch.tanh(self.branch(h)) + self.up(self.down(h)))


def test_sleeping_branches_are_healthy():
    assert equal_layers(Gated()) == {}


def test_twins_are_counted():
    network = mlp()
    with torch.no_grad():
        for p in (network[0].weight, network[0].bias):
            p[8:] = p[:8]
        network[2].weight[:, 8:] = network[2].weight[:, :8]
    assert equal_layers(network) == {"0": 8}

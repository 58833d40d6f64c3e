import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.dead import DeadUnits
from thalweg.readings import Readings


def watched(network, *batches):
    watch = DeadUnits(network)
    with watch.attached(), torch.no_grad():
        for batch in batches:
            network(batch)
    return Readings(watch.readings(step=3))


def rows(count, *shape, seed=0):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def test_a_unit_is_dead_only_where_no_row_of_any_batch_activates_it():
    network = nn.Sequential(nn.Linear(4, 40), nn.ReLU(), nn.Linear(40, 2))
    with torch.no_grad():
        network[0].bias.copy_(torch.linspace(-4, 1, 40))
    batches = rows(1200, 4).split(100)
    activations = torch.cat([network[:2](batch) for batch in batches])
    expected = float((activations == 0).all(0).double().mean())
    assert 0 < expected < 1
    readings = watched(network, *batches)
    assert readings.value("units.dead", "1") == pytest.approx(expected)
    assert readings.value("units.alive", "1") == round(40 * (1 - expected))
    assert readings.last("units.dead", "1").count == 1200
    assert readings.last("units.alive", "1").count == 40


class Mixed(nn.Module):
    """A channel of a convolution, an activation as a function, one in place, one that cannot die."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.hidden, self.gelu, self.head = nn.Linear(8, 10), nn.GELU(), nn.Linear(10, 2)

    def forward(self, x):
        x = self.relu(self.norm(self.conv(x))).mean((2, 3))
        return self.head(self.gelu(F.relu(self.hidden(x))))


def test_channels_functions_and_what_cannot_die():
    network = Mixed().eval()
    with torch.no_grad():
        network.norm.bias[:2] = -100.0
        network.hidden.bias.fill_(-100.0)
        network.hidden.bias[0] = 100.0
    before = copy.deepcopy(network.state_dict())
    readings = watched(network, rows(50, 1, 6, 6), rows(50, 1, 6, 6, seed=1))
    assert readings.places("units.dead") == ["relu", "relu_1"]  # the module, then the function
    assert readings.value("units.dead", "relu") == pytest.approx(0.25)
    assert readings.value("units.dead", "relu_1") == pytest.approx(0.9)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), network.state_dict().values(), strict=True))

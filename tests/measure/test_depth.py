import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.depth import through_depth
from thalweg.probes.slope import slope_of
from thalweg.readings import Readings


def stack(depth, gain):
    torch.manual_seed(0)
    layers = [nn.Linear(16, 16, bias=False) for _ in range(depth)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, gain)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_orthogonal_layers_multiply_both_ways_by_their_gain(gain):
    network = stack(6, gain)
    x, y = torch.randn(64, 16), torch.randn(64, 16)
    readings = Readings(through_depth(network, F.mse_loss, x, y))
    for name, ends in (("depth.forward", 1), ("depth.backward", -1)):
        values = [r.value for r in readings.of(name)]
        slope = slope_of(values[::ends])
        assert slope.value == pytest.approx(math.log(gain), abs=1e-5)
        assert slope.low <= slope.value <= slope.high


def test_the_gradient_is_that_of_finite_differences():
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = torch.randn(5, 3).double(), torch.randn(5, 2).double()
    readings = Readings(through_depth(network, F.mse_loss, x, y))
    z = network[0](x).detach()
    gradient = torch.zeros_like(z)
    for i in range(5):
        for j in range(4):
            moved = [z.clone(), z.clone()]
            moved[0][i, j] += 1e-6
            moved[1][i, j] -= 1e-6
            up, down = (float(F.mse_loss(network[1:](value), y).detach()) for value in moved)
            gradient[i, j] = (up - down) / 2e-6
    assert readings.value("depth.backward", "0") == pytest.approx(float(gradient.square().mean().sqrt()), rel=1e-5)


def test_a_relu_in_place_changes_nothing_of_what_is_read():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    inplace = nn.Sequential(plain[0], nn.ReLU(inplace=True), plain[2])
    x, y = torch.randn(32, 4), torch.randint(2, (32,))
    found = [[r.value for r in through_depth(network, F.cross_entropy, x, y)] for network in (plain, inplace)]
    assert found[0] == pytest.approx(found[1])
    assert all(p.grad is None for p in plain.parameters())

import random

import numpy as np
import torch
from torch import nn

from thalweg.measure.untouched import untouched


class Counting(nn.Module):
    """Draws from every global generator, replaces a buffer and changes another in place."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls = self.calls + 1
        return self.frozen(self.norm(x)) + random.random() + np.random.rand() + torch.rand(1)


def test_everything_is_as_it_was_found():
    network = Counting()
    network.norm.eval()  # a mode of its own
    network.frozen.weight.grad = torch.ones(3, 3)
    calls = network.calls
    state = {name: value.clone() for name, value in network.state_dict().items()}
    generators = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    with untouched(network, training=True):
        output = network(torch.randn(8, 3))
        assert network.norm.training
        assert output.requires_grad
    assert network.training
    assert not network.norm.training
    assert network.calls is calls
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert not network.frozen.weight.requires_grad
    assert torch.equal(network.frozen.weight.grad, torch.ones(3, 3))
    assert torch.equal(generators[0], torch.get_rng_state())
    assert np.array_equal(generators[1], np.random.get_state()[1])
    assert generators[2] == random.getstate()


def test_also_after_an_error():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    try:
        with untouched(network):
            network(torch.zeros(1, 3))
    except RuntimeError:
        pass
    assert network[1].training

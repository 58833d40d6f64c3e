import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.hidden_calls import hidden_calls
from thalweg.probes.swapped import swapped

SIGMOID, SOFTMAX, RELU = frozenset({"sigmoid"}), frozenset({"softmax"}), frozenset({"relu"})


class Functions(nn.Module):
    """Two hidden sigmoids, a gate and a head, all of them functions."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.gate, self.last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 1)

    def forward(self, x, hidden=torch.sigmoid):
        x = hidden(self.a(x))
        x = self.b(x) * torch.sigmoid(self.gate(x))
        return torch.sigmoid(self.last(hidden(x)))


class Shared(nn.Module):
    """One module for a hidden activation and for the head."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.act = nn.Linear(4, 4), nn.Linear(4, 1), nn.Sigmoid()

    def forward(self, x):
        return self.act(self.b(self.act(self.a(x))))


def test_functions_between_layers_are_swapped_and_gates_and_heads_are_not():
    torch.manual_seed(0)
    network, x = Functions(), torch.randn(6, 4)
    changed = swapped(network, hidden_calls(network, x), SIGMOID, torch.relu)
    wanted = network(x, torch.relu)
    for _ in range(2):  # the counts begin anew in each pass
        assert torch.equal(changed(x), wanted)
    assert torch.equal(copy.deepcopy(changed)(x), wanted)
    assert not torch.equal(network(x), wanted)


def test_modules_are_replaced_wherever_all_their_calls_are_hidden():
    network = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 2), nn.Sigmoid())
    changed = swapped(network, hidden_calls(network, torch.randn(2, 4)), SIGMOID, torch.relu)
    x = torch.randn(6, 4)
    assert torch.equal(changed(x), torch.sigmoid(network[2](torch.relu(network[0](x)))))
    shared = Shared()
    assert swapped(shared, hidden_calls(shared, x), SIGMOID, torch.relu) is None


@pytest.mark.parametrize("training", [True, False])
def test_a_transformer_layer_in_both_modes(training):
    torch.manual_seed(0)
    network = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x = torch.randn(2, 5, 8)
    changed = swapped(network, hidden_calls(network, x), RELU, lambda v: F.leaky_relu(v, 0.3)).train(training)
    like = copy.deepcopy(network).train(training)
    like.activation = lambda v: F.leaky_relu(v, 0.3)
    like.activation_relu_or_gelu = 0
    with torch.no_grad():
        assert torch.allclose(changed(x), like(x), atol=1e-6)


def test_nothing_to_swap():
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2), nn.Softmax(1))
    assert swapped(network, hidden_calls(network, torch.randn(2, 4)), SOFTMAX, torch.relu) is None

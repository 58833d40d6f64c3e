import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.errors import ModelError
from thalweg.measure.graph import explain_forward_error, layers


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 3, 3, padding=1)
        self.b = nn.Conv2d(3, 3, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Linear(3, 2)
        self.shift = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        y = self.b(self.relu(self.a(x)))
        y = self.relu(y + x)
        return self.last(y.mean((2, 3))) + self.shift


def table(network, inputs):
    return {layer.place: layer for layer in layers(network, inputs)}


def test_connections_pass_additions_functions_and_in_place_operations():
    found = table(Residual(), torch.randn(2, 3, 8, 8))
    assert found["a"].sources == ("input",)
    assert found["b"].sources == ("relu",)
    assert set(found["relu"].sources) == {"a", "b", "input"}
    assert found["relu"].calls == 2
    assert found["last"].sources == ("relu",)
    assert found["a"].out == "3×8×8"
    assert found[""].parameters == 2  # the network's own


def test_parameters_add_up_with_tied_and_frozen_weights():
    network = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 2))
    network[2].weight = network[0].weight
    network[3].requires_grad_(False)
    found = layers(network, torch.zeros(2, 4))
    assert sum(layer.parameters for layer in found) == sum(p.numel() for p in network.parameters())
    assert sum(layer.trainable for layer in found) == sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert [layer.parameters for layer in found] == [20, 0, 4, 10]


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.numbers = nn.Embedding(9, 4), nn.Linear(3, 4)
        self.last = nn.Linear(8, 2)

    def forward(self, numbers, words):
        return self.last(torch.cat([F.relu(self.numbers(numbers)), self.words(words).mean(1)], 1))


@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_several_inputs_and_indices(form):
    numbers, words = torch.randn(2, 3), torch.zeros(2, 5, dtype=torch.long)
    found = table(TwoInputs(), (numbers, words) if form == "tuple" else {"words": words, "numbers": numbers})
    assert found["words"].sources == ("input",)
    assert set(found["last"].sources) == {"numbers", "words"}


@pytest.mark.parametrize(
    ("network", "inputs", "parameters"),
    [
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.randn(2, 5, 8), 600),
        (nn.GRU(4, 8, batch_first=True), torch.randn(2, 5, 4), 336),
        (nn.MultiheadAttention(8, 2, batch_first=True), (torch.randn(2, 5, 8),) * 3, 288),
    ],
)
def test_modules_with_insides(network, inputs, parameters):
    found = layers(network, inputs)
    assert sum(layer.parameters for layer in found) == parameters
    json.dumps([layer.to_json() for layer in found])


def test_the_network_stays_bit_identical():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    inputs = torch.randn(8, 4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    layers(network, inputs)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in network.modules())


@pytest.mark.parametrize(
    ("network", "inputs", "words"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
            torch.zeros(2, 8, 9),
            ["'1' (Linear)", "64 values", "[2, 72]"],
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), torch.zeros(2, 8, 8, 3), ["'0' (Conv2d)", "3 channels", "movedim(-1, 1)"]),
        (nn.Sequential(nn.Conv2d(1, 4, 3)), torch.zeros(8, 8), ["shape [N, C, H, W]", "unsqueeze"]),
        (nn.Sequential(nn.Conv2d(1, 4, 5)), torch.zeros(2, 1, 3, 3), ["at least [5, 5] positions"]),
        (nn.Sequential(nn.Linear(4, 2)), torch.zeros(2, 4).double(), ["float32", "x.to(torch.float32)"]),
        (nn.Sequential(nn.Linear(4, 2)), torch.zeros(2, 4, dtype=torch.long), ["numbers of float32", "int64"]),
        (nn.Sequential(nn.Embedding(9, 2)), torch.zeros(2, 4), ["integer indices", "x.long()"]),
        (nn.Sequential(nn.Embedding(9, 2)), torch.full((2, 4), 9), ["from 0 to 8", "num_embeddings=10"]),
        (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(5)), torch.zeros(2, 4), ["'1' (BatchNorm1d)", "5 channels"]),
        (nn.Sequential(nn.LayerNorm(5)), torch.zeros(2, 4), ["normalized_shape=[4]"]),
        (nn.Sequential(nn.GRU(3, 4)), torch.zeros(2, 5, 4), ["input_size=4"]),
        (TwoInputs(), torch.zeros(2, 3), ["TwoInputs", "words"]),
    ],
)
def test_errors_name_the_layer_and_the_remedy(network, inputs, words):
    with pytest.raises(ModelError) as caught:
        layers(network, inputs)
    explained = explain_forward_error(network, inputs, RuntimeError("x"))
    for word in words:
        assert word in str(caught.value)
    assert str(explained).split(" (")[0] == str(caught.value).split(" (")[0]


def test_a_layer_of_the_users_own_is_named_too():
    class Own(nn.Module):
        def forward(self, x):
            raise KeyError("missing")

    with pytest.raises(ModelError, match=r"Layer '1' \(Own\) failed; it received \[2, 3\] of float32.*KeyError"):
        layers(nn.Sequential(nn.Linear(3, 3), Own()), torch.zeros(2, 3))

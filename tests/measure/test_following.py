import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.following import follow
from thalweg.parts.activations import ELU, GELU, LeakyReLU, ReLU, SiLU


class Between(nn.Module):
    """A layer, something, a layer."""

    def __init__(self, between, width=8):
        super().__init__()
        self.first, self.between, self.last = nn.Linear(8, 8), between, nn.Linear(width, 3)

    def forward(self, x):
        return self.last(self.between(self.first(x)))


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Tanh()))

    def forward(self, x):
        return self.inner(x.unsqueeze(1)).squeeze(1)


class Activated(nn.BatchNorm1d):
    """A library's batch norm with an activation of its own, which may be none."""

    def __init__(self, act):
        super().__init__(8)
        self.act = act

    def forward(self, x):
        return self.act(super().forward(x))


BETWEEN = {
    "nn.ReLU": (nn.ReLU(), "ReLU"),
    "nn.ReLU in place": (nn.ReLU(inplace=True), "ReLU"),
    "F.relu": (F.relu, "ReLU"),
    "torch.relu_": (torch.relu_, "ReLU"),
    "x.relu()": (lambda x: x.relu(), "ReLU"),
    "x.relu_()": (lambda x: x.relu_(), "ReLU"),
    "x.sigmoid_()": (lambda x: x.sigmoid_(), "Sigmoid"),
    "F.gelu": (partial(F.gelu, approximate="tanh"), "GELU"),
    "F.silu": (lambda x: F.silu(x, inplace=True), "SiLU"),
    "F.leaky_relu": (lambda x: F.leaky_relu(x, 0.3), "LeakyReLU"),
    "F.elu": (lambda x: F.elu(x, alpha=0.5), "ELU"),
    "F.relu6": (F.relu6, "relu6"),
    "nn.Mish": (nn.Mish(), "Mish"),
    "nn.PReLU": (nn.PReLU(), "PReLU"),
    "a class of one's own": (Swish(), "SiLU"),
    "a block around": (Nested(), "Tanh"),
    "dropout, then F.tanh": (lambda x: torch.tanh(F.dropout(x)), "Tanh"),
    "batch norm, then ReLU": (nn.Sequential(nn.BatchNorm1d(8), nn.ReLU()), "BatchNorm1d, ReLU"),
    "batch norm with ReLU inside": (Activated(nn.ReLU()), "batch_norm, ReLU"),
    "batch norm with nothing inside": (Activated(nn.Identity()), "Activated, Linear"),
    "F.layer_norm, then F.gelu": (lambda x: F.gelu(F.layer_norm(x, (8,))), "layer_norm, GELU"),
    "layer norm alone": (nn.LayerNorm(8), "LayerNorm, Linear"),
    "softmax": (lambda x: x.softmax(1), "softmax"),
    "nothing": (nn.Identity(), "Linear"),
    "shapes": (lambda x: x.view(2, -1).reshape(-1, 8).contiguous() * 2 + 1, "Linear"),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_comes_next(name):
    between, expected = BETWEEN[name]
    module = between if isinstance(between, nn.Module) else Called(between)
    course = follow(Between(module), torch.randn(4, 8))
    assert str(course.follower("first")) == expected
    assert str(course.follower("last")) == "output"


class Called(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_settings_of_functions_are_kept():
    for function, part in (
        (lambda x: F.leaky_relu(x, 0.3), LeakyReLU(slope=0.3)),
        (lambda x: F.elu(x, alpha=0.5), ELU(alpha=0.5)),
        (partial(F.gelu, approximate="tanh"), GELU(approximate="tanh")),
        (Swish(), SiLU()),
        (torch.relu_, ReLU()),
    ):
        module = function if isinstance(function, nn.Module) else Called(function)
        assert follow(Between(module), torch.randn(4, 8)).follower("first").function == part
    other = follow(Between(Called(lambda x: F.hardtanh(x, -2.0, 2.0))), torch.randn(4, 8)).follower("first")
    assert other.function(torch.tensor([-3.0, 1.0])).tolist() == [-2.0, 1.0]


def test_only_what_a_normalization_alone_reads_has_no_scale():
    course = follow(Between(nn.Sequential(nn.BatchNorm1d(8), nn.ReLU())), torch.randn(4, 8))
    assert course.follower("first").normalized
    assert not course.follower("last").normalized

    class Skipped(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8)

        def forward(self, x):
            x = x + self.first(x)
            return x + self.last(self.norm(x))

    first = follow(Skipped(), torch.randn(4, 8)).follower("first")
    assert (str(first), first.normalized) == ("output", False)


def test_the_nearest_of_several_and_the_others_by_name():
    class Several(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x):
            x = self.first(x)
            return self.last(torch.tanh(x.view(-1, 2, 4).flatten(1)) + F.relu(x))

    assert str(follow(Several(), torch.randn(4, 8)).follower("first")) == "ReLU · Tanh"


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x, fused=False):
        q, k, v = self.query(x), self.key(x), self.value(x)
        if fused:
            return self.out(F.scaled_dot_product_attention(q, k, v))
        return self.out((q @ k.transpose(1, 2) / 8**0.5).softmax(-1) @ v)


def test_attention_by_hand():
    course = follow(Attention(), torch.randn(4, 5, 8))
    names = {place: str(course.follower(place)) for place in ("query", "key", "value", "out")}
    assert names == {"query": "softmax", "key": "softmax", "value": "Linear", "out": "output"}
    fused = follow(Attention(), {"x": torch.randn(4, 5, 8), "fused": torch.tensor(True)})
    assert str(fused.follower("value")) == "attention"


def test_a_layer_called_in_a_loop_and_one_that_does_not_run():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.unused = nn.Linear(8, 8), nn.Linear(2, 2)

        def forward(self, x):
            for _ in range(3):
                x = torch.tanh(self.cell(x))
            return {"states": [x]}

    course = follow(Loop(), torch.randn(4, 8))
    assert (str(course.follower("cell")), course.calls["cell"]) == ("Tanh", 3)
    assert course.follower("unused") is None


def test_custom_autograd_functions_and_integers_as_inputs():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, gradient):
            return 2 * gradient

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 8), nn.Linear(8, 2)

        def forward(self, tokens, lengths):
            return self.head(F.silu(Double.apply(self.embed(tokens).mean(1)))) / lengths[:, None]

    course = follow(Tokens(), (torch.randint(9, (4, 6)), torch.ones(4)))
    assert (str(course.follower("embed")), str(course.follower("head"))) == ("SiLU", "output")
    assert course.order == ["", "embed", "head"]


def test_following_leaves_no_trace():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4, 1))
    network[4].weight.requires_grad_(False)
    network[3].eval()
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    x = torch.randn(4, 4)
    kept, state = x.clone(), torch.get_rng_state()
    follow(network, x)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, kept)
    assert [module.training for module in network] == [True, True, True, False, True]
    assert [p.requires_grad for p in network.parameters()] == [True, True, True, True, False, True]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())

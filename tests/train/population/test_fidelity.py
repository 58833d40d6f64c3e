"""A population that computes something else than its members is noticed."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.train.population.each import Each
from thalweg.train.population.fidelity import agrees, disagreement, gap
from thalweg.train.population.rules import FUNCTIONS

EXACT = 1e-12


def x(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))


def wrong_output(run: Any, input: Any, weight: Any, bias: Any = None) -> Any:  # noqa: A002
    found = FUNCTIONS[F.linear](run, input, weight, bias)
    return Each(found.tensor + 1e-9)


def wrong_gradient(run: Any, input: Any, weight: Any, bias: Any = None) -> Any:  # noqa: A002
    return FUNCTIONS[F.linear](run, input, Each(weight.tensor.detach()), bias)


def mixed_members(run: Any, input: Any, weight: Any, bias: Any = None) -> Any:  # noqa: A002
    found = FUNCTIONS[F.linear](run, input, weight, bias)
    return Each(found.tensor.roll(1, 0))


def wrong_buffer(run: Any, input: Any, mean: Any, variance: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
    with torch.no_grad():
        mean.tensor.add_(1e-9)
    return FUNCTIONS[F.batch_norm](run, input, mean, variance, *args, **kwargs)


@pytest.mark.parametrize("wrong", [wrong_output, wrong_gradient, mixed_members, wrong_buffer])
def test_a_wrong_rule_is_noticed(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert agrees(network(), x(6, 4), training=True)
    rules = dict(FUNCTIONS)
    function = F.batch_norm if wrong is wrong_buffer else F.linear
    monkeypatch.setattr(
        "thalweg.train.population.replay.rule_of",
        lambda called: wrong if called is function else rules.get(called),
    )
    assert not agrees(network(), x(6, 4), training=True)
    assert disagreement(network(), x(6, 4), training=True) > 1e-10


def test_the_network_stays_as_it_is() -> None:
    one = network().eval()
    before = {name: value.clone() for name, value in one.state_dict().items()}
    state = torch.get_rng_state()
    assert agrees(one, x(6, 4), training=True)
    assert not one.training
    assert one[0].weight.grad is None
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())


def test_dropout_is_left_out_on_both_sides() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3, batch_first=True)
            self.recurrent = nn.GRU(8, 4, 2, dropout=0.3)

        def forward(self, x: Tensor) -> Tensor:
            h = F.dropout2d(self.attention(x)[:, None], 0.5, self.training)[:, 0]
            mask = h.new_empty(len(h), 1, 1).bernoulli_(0.5)
            return self.recurrent(F.scaled_dot_product_attention(h, h, h, None, 0.2) * mask)[0]

    assert agrees(Dropping(), x(3, 4, 8), training=True)


def test_what_is_ill_conditioned_agrees_to_its_own_rounding() -> None:
    """A batch norm of two nearly equal rows: a rounding error is all that it has to work with."""
    layer = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, eps=1e-24), nn.Linear(3, 2))
    rows = x(1, 4).double().repeat(2, 1) + torch.tensor([[0.0], [1e-9]])
    assert disagreement(layer, rows, training=True) > EXACT
    assert agrees(layer, rows, training=True)


def test_networks_that_want_float32_are_compared_in_it() -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.float())

    assert disagreement(Single(), x(5, 4), training=True) < 1e-5
    assert agrees(Single(), x(5, 4), training=True)


def test_gaps() -> None:
    inf = float("inf")
    assert gap(torch.tensor([1.0, inf, -inf]), torch.tensor([1.0, inf, -inf])) == 0
    assert gap(torch.tensor([float("nan")]), torch.tensor([float("nan")])) == 0
    assert gap(torch.tensor([1.0, 0.0]), torch.tensor([1.0, inf])) == inf
    assert gap(torch.tensor([1.0]), torch.tensor([float("nan")])) == inf
    assert gap(torch.tensor([200.0]), torch.tensor([100.0])) == 1.0
    assert gap(torch.tensor([0.5]), torch.tensor([0.25])) == 0.25
    assert gap(torch.zeros(2), torch.zeros(3)) == inf
    assert gap(torch.zeros(2), torch.zeros(2, dtype=torch.float64)) == inf


class Block(nn.Module):
    """A few layers around a residual, drawn by number."""

    def __init__(self, channels: int, kinds: list[int]) -> None:
        super().__init__()
        builders = [
            lambda: nn.Conv2d(channels, channels, 3, padding=1),
            lambda: nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            lambda: nn.BatchNorm2d(channels),
            lambda: nn.GroupNorm(2, channels),
            lambda: nn.ReLU(inplace=True),
            lambda: nn.PReLU(channels),
            lambda: nn.AvgPool2d(3, 1, 1),
            lambda: nn.MaxPool2d(3, 1, 1),
            lambda: nn.LayerNorm([channels, 4, 4]),
            lambda: nn.Dropout2d(0.5),
            lambda: nn.Linear(4, 4),
        ]
        self.layers = nn.ModuleList(builders[kind]() for kind in kinds)

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            h = layer(x.clone() if isinstance(layer, nn.ReLU) else x)
            x = h + x if number % 2 else torch.cat([h[:, 1:], x[:, :1]], 1).transpose(2, 3)
        return x.mean((2, 3))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    kinds=st.lists(st.integers(0, 10), min_size=1, max_size=6),
    channels=st.sampled_from([2, 4]),
    rows=st.integers(2, 4),
    training=st.booleans(),
    own=st.booleans(),
)
def test_any_small_architecture(kinds: list[int], channels: int, rows: int, training: bool, own: bool) -> None:
    assert disagreement(Block(channels, kinds), x(rows, channels, 4, 4), training=training, own=own) <= EXACT

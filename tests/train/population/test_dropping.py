"""An ordinary network draws what it draws as a member, in training alone, and nothing else changes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.parts.regularizers import StochasticDepth
from thalweg.train.population.counter import MemberNoise, Workspace, streams
from thalweg.train.population.dropping import CounterDropout, dropout_rates

KINDS: dict[str, tuple[Callable[[Tensor], Tensor], str, tuple[int, ...]]] = {
    "elements": (lambda x: F.dropout(x, 0.4), "elements", (6, 4, 3)),
    "module": (nn.Dropout(0.4), "elements", (6, 4, 3)),
    "in place": (lambda x: F.dropout(x.clone(), 0.4, inplace=True), "elements", (6, 4, 3)),
    "torch's": (lambda x: torch.dropout(x, 0.4, True), "elements", (6, 4)),
    "channels of 1-D": (nn.Dropout1d(0.4), "channels", (6, 4, 3)),
    "channels of 2-D": (nn.Dropout2d(0.4), "channels", (6, 4, 3, 3)),
    "alpha": (nn.AlphaDropout(0.4), "alpha", (6, 4)),
    "channels, alpha": (nn.FeatureAlphaDropout(0.4), "alpha channels", (6, 4, 3)),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_dropout_draws_from_the_counter(name: str) -> None:
    drop, kind, shape = KINDS[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    with CounterDropout(seed=3).at(5):
        found = [drop(x), drop(x)]
    assert torch.equal(torch.get_rng_state(), before)
    noise = MemberNoise.after(streams(3), 5, Workspace())
    for layer, value in enumerate(found):
        assert torch.equal(value, noise.dropout(x[None], 0.4, layer=layer, kind=kind)[0])
    assert not torch.equal(*found)


def test_nothing_is_drawn_outside_of_training() -> None:
    x, mode = torch.randn(5, 4), CounterDropout(seed=0)
    network = nn.Sequential(nn.Dropout(0.5), nn.AlphaDropout(0.5)).eval()
    with mode.at(0):
        assert torch.equal(network(x), x)
        assert torch.equal(F.alpha_dropout(x, 0.5), x)  # its default
        assert torch.equal(torch.dropout(x, 0.5, train=False), x)
    assert not mode.draws


def test_an_input_without_rows() -> None:
    x = torch.ones(8, 5)
    with CounterDropout(seed=0).at(0):
        dropped = nn.Dropout1d(0.5)(x)
    assert (dropped.std(1) == 0).all()
    assert dropped.unique().tolist() == [0.0, 2.0]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", [None, "bool", "float"])
def test_attention_without_dropout_in_sight_is_torchs(causal: bool, mask: str | None) -> None:
    """At a p that drops nothing what is left is attention itself."""
    if causal and mask:
        return
    q, k, v = torch.randn(3, 2, 4, 5, 8, dtype=torch.float64).unbind()
    given = None if mask is None else torch.rand(5, 5) < 0.7
    if given is not None:
        given.fill_diagonal_(True)
    if mask == "float":
        given = torch.where(given, 0.5, -3.0).double()  # type: ignore[arg-type]
    with CounterDropout(seed=0).at(0):
        found = F.scaled_dot_product_attention(q, k, v, given, dropout_p=1e-9, is_causal=causal)
    expected = F.scaled_dot_product_attention(q, k, v, given, is_causal=causal)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def test_attention_drops_its_weights() -> None:
    q, k, v = torch.randn(3, 2, 4, 5, 8, dtype=torch.float64).unbind()
    with CounterDropout(seed=2).at(7):
        found = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5)
    weights = (q @ k.mT / 8**0.5).softmax(-1)
    expected = MemberNoise.after(streams(2), 7, Workspace()).dropout(weights[None], 0.5, layer=0)[0] @ v
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_between_recurrent_layers(kind: type[nn.RNNBase], bidirectional: bool, batch_first: bool) -> None:
    """Nothing else changes: with a p that drops nothing the outputs and states are torch's own."""
    layer = kind(3, 4, 3, dropout=1e-9, bidirectional=bidirectional, batch_first=batch_first).double()
    x = torch.randn(5, 6, 3, dtype=torch.float64)
    mode = CounterDropout(seed=0)
    with mode.at(0):
        found = layer(x)
    assert [draw.shape for draw in mode.draws] == [
        ((6, 5) if batch_first else (5, 6)) + (8 if bidirectional else 4,)
    ] * 2
    for one, other in zip(found, layer.eval()(x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)


def test_rates_in_the_order_of_the_calls() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3, batch_first=True)
    assert dropout_rates(layer, torch.randn(2, 5, 8)) == [0.3] * 4  # in attention, after it, between layers, at the end
    network = nn.Sequential(nn.Dropout(0.1), nn.BatchNorm1d(4), nn.Dropout(0.0), StochasticDepth(0.2))
    state = {name: value.clone() for name, value in network.state_dict().items()}
    assert dropout_rates(network.eval(), torch.randn(6, 4)) == [0.1, 0.0, 0.2]
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert not network.training

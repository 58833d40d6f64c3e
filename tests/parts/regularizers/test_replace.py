"""One probability for all dropout of a network, whatever holds it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.parts.regularizers import AlphaDropout, ChannelDropout, DropConnect, Dropout, StochasticDepth
from thalweg.parts.regularizers.replace import set_dropout


class Own(nn.Module):
    """Attention as many write it: a number that forward passes to a function."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.dropout_p, self.drop_prob, self.num_dropout = 0.0, 0.1, 0.2, 3

    def forward(self, x):
        return F.dropout(x, self.dropout, self.training)


@pytest.mark.parametrize(
    ("module", "places"),
    [
        (nn.Dropout(0.5), ["0"]),
        (nn.Dropout2d(0.5), ["0"]),
        (nn.FeatureAlphaDropout(0.5), ["0"]),
        (Dropout(0.5, scale_at="inference"), ["0"]),
        (ChannelDropout(0.5), ["0"]),
        (AlphaDropout(0.5), ["0"]),
        (nn.MultiheadAttention(4, 2), ["0.dropout"]),
        (nn.LSTM(4, 4, num_layers=2, dropout=0.1), ["0.dropout"]),
        (nn.GRU(4, 4), []),  # a single layer drops nothing
        (
            nn.TransformerEncoderLayer(4, 2, 8),
            ["0.self_attn.dropout", "0.dropout", "0.dropout1", "0.dropout2"],
        ),
        (Own(), ["0.dropout", "0.dropout_p"]),
        (StochasticDepth(0.5), []),
        (DropConnect(nn.Linear(4, 4), 0.5), []),
        (nn.ReLU(), []),
    ],
    ids=lambda v: type(v).__name__,
)
def test_places(module, places):
    network = nn.Sequential(module)
    assert set_dropout(network, 0.25) == places
    for place in places:
        name, _, attribute = place.rpartition(".")
        found = network.get_submodule(place) if hasattr(network.get_submodule(name or "0"), "p") else None
        owner = network.get_submodule(name) if name else network.get_submodule(place)
        value = getattr(owner, attribute, None)
        value = value.p if isinstance(value, nn.Module) else value
        assert (found.p if value is None else value) == 0.25


def test_branches_and_weights_keep_their_own():
    network = nn.ModuleList([StochasticDepth(0.3), DropConnect(nn.Linear(2, 2), 0.4), Own()])
    set_dropout(network, 0.25)
    assert (network[0].p, network[1].p, network[2].drop_prob, network[2].num_dropout) == (0.3, 0.4, 0.2, 3)


@pytest.mark.parametrize("module", [nn.LSTM(4, 4, num_layers=2), nn.MultiheadAttention(4, 2, batch_first=True)])
def test_what_was_set_takes_effect(module):
    torch.manual_seed(0)
    x = torch.randn(3, 5, 4)
    inputs = (x, x, x) if isinstance(module, nn.MultiheadAttention) else (x,)
    set_dropout(module, 0.5)
    first, second = (module.train()(*inputs)[0] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(module.eval()(*inputs)[0], module(*inputs)[0])


def test_a_root_module_has_a_place():
    assert set_dropout(nn.Dropout(), 0.1) == ["Dropout"]


def test_in_a_plan(tmp_path):
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    experiment = tw.Experiment(
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)),
        train=(x, (x[:, 0] > 0).long()),
        loss="cross_entropy",
        directory=tmp_path,
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, batch_size=32, dropout=0.2)
    run = experiment.train(plan, listeners=())
    assert run.network[2].p == 0.2
    assert [d["reason"] for d in run.decisions if d["field"] == "dropout"] == ["asked for; changed at 2"]

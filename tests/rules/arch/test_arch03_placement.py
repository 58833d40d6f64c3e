import pytest
import torch
from torch import nn

from thalweg.measure.placement import placement
from thalweg.readings import Reading, Readings
from thalweg.rules.arch.arch03_placement import judge

BASE = [Reading("parameter.trainable", 1.0, "0.weight")]
BROKEN = Readings([*BASE, Reading("bias.undone", 1e-7, "0", count=8), Reading("dropout.before_norm", 1, "3", note="2")])
HEALTHY = Readings(BASE)


def test_both_are_notes():
    assert [(f.severity, f.counts, f.place) for f in judge(BROKEN)] == [("note", False, "0"), ("note", False, "3")]


class Residual(nn.Module):
    """The layer's output is read twice: its bias reaches the outputs."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(8)

    def forward(self, x):
        y = self.layer(x)
        return y + self.norm(y)


@pytest.mark.parametrize(
    ("network", "places"),
    [
        (nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)), ["0"]),
        (nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 2)), []),
        (nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 2)), []),
        (nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 2)), []),
        (nn.Sequential(Residual(), nn.Linear(8, 2)), []),
    ],
)
def test_a_bias_is_reported_only_where_a_batch_norm_takes_it_away(network, places):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = judge(Readings([*BASE, *placement(network, torch.randn(32, 8))]))
    assert [f.place for f in found] == places
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("middle", "faulty"),
    [
        ([nn.Dropout(0.5), nn.BatchNorm1d(8)], True),
        ([nn.Dropout(0.5), nn.ReLU(), nn.BatchNorm1d(8)], True),
        ([nn.BatchNorm1d(8), nn.Dropout(0.5)], False),
        ([nn.Dropout(0.5), nn.Linear(8, 8), nn.BatchNorm1d(8)], False),
    ],
)
def test_dropout_before_a_batch_norm(middle, faulty):
    network = nn.Sequential(nn.Linear(8, 8, bias=False), *middle, nn.Linear(8, 2))
    assert ("dropout.before_norm" in Readings(placement(network, torch.randn(32, 8)))) is faulty

import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.speed import synchronizations
from thalweg.readings import Reading, Readings
from thalweg.rules.speed.speed04_waits import judge

BROKEN = Readings([Reading("speed.waits", 3, note="cuda:0"), Reading("speed.waits", 3, "model.py:12", note="item")])
HEALTHY = Readings([Reading("speed.waits", 0, note="cuda:0")])
X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Waiting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.seen = 0.0

    def forward(self, x):
        self.seen += x.mean().item()
        if x.sum() > 1e9:
            x = x / 2
        return self.layer(x)


def found_in(network, loss=F.cross_entropy):
    return judge(Readings(synchronizations(network, loss, X, Y)))


def test_the_line_is_named_and_it_is_a_note():
    (found,) = judge(BROKEN)
    assert (found.severity, found.place) == ("note", "model.py:12")
    assert found.title == "Each step waits 3 times for a value in Python"
    assert "next to nothing" not in found.why


def test_a_model_that_reads_values_is_found_with_its_lines():
    (found,) = found_in(Waiting())
    assert found.title.startswith("Each step waits 2 times")
    assert "costs on a GPU" in found.title
    assert {line.value.split("(")[0] for line in found.evidence} == {".item", ".__bool__"}
    assert all(line.what.startswith("test_speed04_waits.py:") for line in found.evidence)


def test_a_loss_that_reads_values_is_found():
    def loss(output, target):
        value = F.cross_entropy(output, target)
        return value if float(value.detach()) < 100 else value * 0

    (found,) = found_in(nn.Linear(4, 2), loss)
    assert found.evidence[0].value.startswith(".__float__")


def test_plain_networks_wait_for_nothing():
    assert found_in(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))) == []
    assert found_in(nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 2))) == []

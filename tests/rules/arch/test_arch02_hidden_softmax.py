import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.hidden_calls import hidden_calls
from thalweg.readings import Reading, Readings
from thalweg.rules.arch.arch02_hidden_softmax import judge


def twin(name, plain, changed, *, constant=0.1, half=0.02, steps=1.0, control=None):
    """Readings of a training and its twin."""
    change = changed - plain
    found = [
        Reading(f"twin.{name}.plain", plain, note="accuracy", count=500),
        Reading(f"twin.{name}.changed", changed, note="accuracy", count=500),
        Reading(f"twin.{name}.constant", constant, note="accuracy", count=500),
        Reading(f"twin.{name}.difference", change, low=change - half, high=change + half, count=500),
        Reading(f"twin.{name}.steps", steps, count=300),
    ]
    return found if control is None else [*found, Reading(f"twin.{name}.control", control, note="accuracy")]


BASE = [Reading("parameter.trainable", 1.0, "0.weight")]
HIDDEN = Reading("softmax.hidden", 1, "conv", note="softmax")
BROKEN = Readings([*BASE, HIDDEN, *twin("hidden_softmax", 0.6, 0.78, control=0.61)])
HEALTHY = Readings(BASE)


def test_harm_makes_it_a_verified_warning():
    (found,) = judge(BROKEN)
    assert (found.severity, found.standing, found.cause, found.place) == ("warning", "verified", "vanishing", "conv")


def test_without_harm_it_is_a_note():
    for more in ([], twin("hidden_softmax", 0.75, 0.78), twin("hidden_softmax", 0.6, 0.78, control=0.77)):
        (found,) = judge(Readings([*BASE, HIDDEN, *more]))
        assert (found.severity, found.standing) == ("note", "proven")


class Attention(nn.Module):
    """Attention, a softmax gate, a softmax head: none stands between layers."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.gate = (nn.Linear(4, 4) for _ in range(4))
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        mixed = F.softmax(self.q(x) @ self.k(x).transpose(1, 2), dim=-1) @ self.v(x)
        return F.softmax(self.last((mixed * torch.softmax(self.gate(x), -1)).mean(1)), dim=-1)


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(F.max_pool2d(self.conv(x).softmax(1), 4).flatten(1))


def softmaxes(network, inputs):
    return hidden_calls(network, inputs).named(frozenset({"softmax"}))


def test_the_graph_tells_a_hidden_softmax_from_attention_gates_and_heads():
    assert len(softmaxes(Hidden(), torch.randn(2, 1, 6, 6))) == 1
    assert softmaxes(Attention(), torch.randn(2, 5, 4)) == []
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
    assert softmaxes(encoder, torch.randn(2, 3, 8)) == []
    plain = nn.Sequential(nn.Linear(4, 8), nn.Softmax(1), nn.Dropout(), nn.Linear(8, 3), nn.Softmax(1))
    assert [c.place for c in softmaxes(plain, torch.randn(2, 4))] == ["1"]

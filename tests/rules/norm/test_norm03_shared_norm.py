import torch
from torch import nn

from thalweg.measure.sharing import describe_sharing
from thalweg.readings import Reading, Readings
from thalweg.rules.norm.norm03_shared_norm import APART, judge

BROKEN = Readings([Reading("norm.apart", 0.8, "norm", count=2, note="BatchNorm1d")])
HEALTHY = Readings([Reading("norm.apart", 0.1, "norm", count=2, note="BatchNorm1d")])


def twin(plain: float, changed: float) -> list[Reading]:
    gain = changed - plain
    return [
        Reading("twin.own_norms.plain", plain, note="accuracy", count=500),
        Reading("twin.own_norms.changed", changed, note="accuracy", count=500),
        Reading("twin.own_norms.difference", gain, low=gain - 0.04, high=gain + 0.04, count=500),
        Reading("twin.own_norms.constant", 0.1),
        Reading("twin.own_norms.steps", 1.0),
    ]


def test_it_is_a_note_until_a_twin_shows_harm():
    (fact,) = judge(BROKEN)
    assert (fact.severity, fact.standing, fact.counts) == ("note", "proven", False)
    (alarm,) = judge(Readings([*BROKEN, *twin(0.3, 0.9)]))
    assert (alarm.severity, alarm.standing, alarm.cause) == ("error", "verified", "train_eval_mode")
    assert alarm.remedied is not None
    (harmless,) = judge(Readings([*BROKEN, *twin(0.85, 0.9)]))
    assert not harmless.counts


class Twice(nn.Module):
    """One norm after two layers, the second of which gives much larger values if `scale` is large."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.norm = nn.Linear(8, 16), nn.Linear(16, 16), nn.BatchNorm1d(16)
        nn.init.normal_(self.second.weight, std=scale)

    def forward(self, x):
        return self.norm(self.second(torch.relu(self.norm(self.first(x)))))


class Siamese(nn.Module):
    """One encoder for two halves of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU())

    def forward(self, x):
        return (self.encoder(x[:, :4]) * self.encoder(x[:, 4:])).sum(1)


def of(network: nn.Module, rows: int = 64) -> Readings:
    return Readings(describe_sharing(network, torch.randn(rows, 8, generator=torch.Generator().manual_seed(0))))


def test_a_norm_behind_two_unlike_layers_is_found_and_a_siamese_encoder_passes():
    assert judge(of(Twice(20.0)))
    for rows in (32, 64, 256):
        found = of(Siamese(), rows)
        assert found.places("norm.apart") == ["encoder.1"]
        assert judge(found) == []


def test_rows_of_one_kind_are_apart_by_chance_only():
    values = []
    for seed in range(200):
        torch.manual_seed(seed)
        norm = nn.BatchNorm1d(4)
        network = nn.Sequential(norm, nn.Linear(4, 4, bias=False), norm)
        nn.init.orthogonal_(network[1].weight)  # normal rows stay what they are
        values += [r.value for r in describe_sharing(network, torch.randn(32, 4)) if r.name == "norm.apart"]
    assert max(values) < APART


def test_running_estimates_stay_as_they_are():
    network = Twice(20.0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    of(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

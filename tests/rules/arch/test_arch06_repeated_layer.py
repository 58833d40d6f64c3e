import torch
from torch import nn

from thalweg.measure.sharing import describe_sharing
from thalweg.probes.unshared import own_layers
from thalweg.readings import Reading, Readings
from thalweg.rules.arch.arch06_repeated_layer import judge

BROKEN = Readings([Reading("layer.repeated", 6, "2", count=272)])
HEALTHY = Readings([Reading("layer.repeated", 1, "2", count=272)])
X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))


def twin(plain: float, changed: float) -> list[Reading]:
    gain = changed - plain
    return [
        Reading("twin.own_layers.plain", plain, note="accuracy", count=500),
        Reading("twin.own_layers.changed", changed, note="accuracy", count=500),
        Reading("twin.own_layers.difference", gain, low=gain - 0.04, high=gain + 0.04, count=500),
        Reading("twin.own_layers.constant", 0.1),
        Reading("twin.own_layers.steps", 1.0),
    ]


def test_it_is_a_note_until_a_twin_shows_harm():
    (fact,) = judge(BROKEN)
    assert (fact.severity, fact.standing) == ("note", "proven")
    (alarm,) = judge(Readings([*BROKEN, *twin(0.3, 0.9)]))
    assert alarm.counts
    assert not judge(Readings([*BROKEN, *twin(0.8, 0.9)]))[0].counts


def repeated() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), *[nn.Linear(8, 8), nn.ReLU()] * 3, nn.Linear(8, 2))


class Tied(nn.Module):
    """Embedding and output share a weight; one cell is called for each position: both are meant."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.cell, self.out = nn.Linear(4, 8), nn.GRUCell(8, 8), nn.Linear(8, 4, bias=False)
        self.out.weight = nn.Parameter(self.embedding.weight.detach().t().clone())
        self.acts = nn.ModuleList([nn.ReLU()] * 3)

    def forward(self, x):
        state = self.embedding(x)
        for act in self.acts:
            state = self.cell(act(state), state)
        return self.out(state)


def test_a_multiplied_list_is_found_and_a_cell_called_often_is_not():
    (found,) = judge(Readings(describe_sharing(repeated(), X)))
    assert (found.place, found.evidence[0].value) == ("1", "3")
    assert [r for r in describe_sharing(Tied(), X) if r.name == "layer.repeated"] == []


def test_the_twin_starts_as_the_same_function_with_weights_of_its_own():
    network = repeated()
    changed = own_layers(network, ["1"])
    assert torch.equal(network(X), changed(X))
    size = {n: sum(p.numel() for p in m.parameters()) for n, m in (("one", network), ("own", changed))}
    assert size["own"] - size["one"] == 2 * (8 * 8 + 8)

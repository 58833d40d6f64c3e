"""A large module is kept as a file: what comes back is the module as it was."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import thalweg as tw
from thalweg.train import kept
from thalweg.train.kept import KeptModule, keep


class Tied(nn.Module):
    """Tied weights, a frozen part, a buffer that no state holds, channels last, a hook, a part in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embedding.weight
        self.norm = nn.BatchNorm1d(8).eval()
        self.conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.weighted = parametrizations.weight_norm(nn.Linear(8, 8))
        self.register_buffer("scale", torch.full((), 2.0), persistent=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.weighted(self.frozen(self.norm(self.embedding(tokens)))) * self.scale)


def test_what_comes_back_is_the_module_as_it_was() -> None:
    module = Tied()
    tokens = torch.arange(20)
    expected = module(tokens)
    file = KeptModule(module)
    with torch.no_grad():
        for value in module.parameters():
            value.zero_()
    found = file.copy()
    assert torch.equal(found(tokens), expected)
    assert found.head.weight is found.embedding.weight
    assert found.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert not found.norm.training
    assert [p.requires_grad for p in found.parameters()] == [p.requires_grad for p in module.parameters()]
    assert list(found.state_dict()) == list(module.state_dict())
    other = file.copy()
    assert not any(a is b for a, b in zip(found.parameters(), other.parameters(), strict=True))


def test_the_file_goes_with_the_last_reference() -> None:
    file = KeptModule(nn.Linear(2, 2))
    path = file._file
    assert path.is_file()
    del file
    assert not path.parent.exists()


def test_a_training_from_a_file_is_the_one_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.randn(300, 6), torch.arange(300) % 3
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=0.01), epochs=2, batch_size=32)
    weights = []
    for limit in (2**30, 0):
        monkeypatch.setattr(kept, "KEPT_BYTES", limit)
        experiment = tw.Experiment(network, train=(x, y), loss="cross_entropy", directory=tmp_path)
        assert isinstance(experiment.model, KeptModule) == (limit == 0)
        run = experiment.train(plan, listeners=())
        again = experiment.open(run.name)
        assert all(torch.equal(a, b) for a, b in zip(run.network.parameters(), again.network.parameters(), strict=True))
        weights.append(dict(run.network.state_dict()))
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_lazy_module_is_copied() -> None:
    assert isinstance(keep(nn.LazyLinear(3)), nn.LazyLinear)

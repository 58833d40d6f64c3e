"""`fix` on trainings of all kinds: it mends them or says why not, and never breaks."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import thalweg as tw

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(400, 6, generator=DRAW)
TOKENS = torch.randint(0, 20, (400, 7), generator=DRAW)
IMAGES = torch.randn(400, 1, 8, 8, generator=DRAW)
Y = (X[:, 0] > 0).long()


class Tagger(nn.Module):
    """Embeddings tied to the last layer, attention in between."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.last = nn.Linear(16, 20, bias=False)
        self.last.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(self.encoder(self.embedding(tokens))).transpose(1, 2)


class Two(nn.Module):
    """Two inputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.numbers = nn.Embedding(20, 8), nn.Linear(6, 8)
        self.last = nn.Linear(16, 2)

    def forward(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        return self.last(torch.cat([self.embedding(tokens).mean(1), torch.relu(self.numbers(numbers))], 1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.last = nn.GRU(1, 12, batch_first=True), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.gru(x[:, :, None])[0][:, -1])


class Items(Dataset[Any]):
    """Items with inputs by name."""

    def __len__(self) -> int:
        return 400

    def __getitem__(self, k: int) -> Any:
        return {"tokens": TOKENS[k], "numbers": X[k]}, Y[k]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))


def convolution() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))


def own_step(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
    inputs, target = batch
    output = model(inputs)
    return nn.functional.cross_entropy(output, target), output, target


def partly_frozen() -> nn.Module:
    network = mlp()
    network[0].requires_grad_(False)
    return network


CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "image": (convolution, {"train": (IMAGES, (IMAGES[:, 0, 0, 0] > 0).long())}),
    "recurrent": (Recurrent, {"train": (X, Y)}),
    "tied, a class per position": (Tagger, {"train": (TOKENS, TOKENS.flip(1))}),
    "inputs by name": (Two, {"train": Items()}),
    "own step": (mlp, {"train": (X, Y), "loss": None, "step": own_step}),
    "frozen": (partly_frozen, {"train": (X, Y)}),
    "labels": (mlp, {"train": (X, (X[:, :2] > 0).float()), "loss": "binary_cross_entropy"}),
    "regression": (mlp, {"train": (X, X[:, :2] * 3), "loss": "mse"}),
    "loader": (
        mlp,
        {
            "train": DataLoader(TensorDataset(X[:300], Y[:300]), batch_size=32, shuffle=True),
            "validation": DataLoader(TensorDataset(X[300:], Y[300:]), batch_size=100),
        },
    ),
}
SURELY = ("image", "inputs by name", "regression", "frozen", "loader")  # mended in a second or two


def fixed(directory: Path, name: str, **changes: Any) -> tuple[tw.Run, Any]:
    build, options = CASES[name]
    given = {"loss": "cross_entropy", "test": False, "directory": directory} | options
    experiment = tw.Experiment(build, **given)
    plan: dict[str, Any] = {"optimizer": tw.optimizers.SGD(lr=1e-7), "batch_size": 32, "epochs": 8}
    run = experiment.train(tw.Plan.plain(**plan | {"probes": True} | changes), listeners=())
    return run, experiment.fix(run, seconds=6)


@pytest.mark.parametrize("name", CASES)
def test_a_rate_that_is_far_too_low(tmp_path: Path, name: str):
    run, fix = fixed(tmp_path, name)
    assert str(fix)
    assert fix.cost.trials == len([each for each in fix.tried if each.score is not None])
    assert fix.accepted or name not in SURELY
    assert ("cannot be scored" in str(fix)) == (name == "own step")
    if not fix.accepted:
        assert all(each.reason for each in fix.tried)
        return
    assert fix.effect.low > 0
    again = fix.train(listeners=())
    assert again.status == "completed"
    assert again.metrics["loss"] < run.metrics["loss"] or fix.loss is not None or "target_scaling" in fix.diff


def test_bf16(tmp_path: Path):
    _, fix = fixed(tmp_path, "inputs by name", precision="bf16")
    assert fix.plan.precision == "bf16"
    assert fix.accepted


def test_an_optimizer_of_torchs_own(tmp_path: Path):
    _, fix = fixed(tmp_path, "regression", optimizer=partial(torch.optim.ASGD, lr=1e-7))
    assert str(fix)


def test_outputs_that_cannot_be_scored_are_said(tmp_path: Path):
    def step(model: nn.Module, batch: Any) -> Tensor:
        return model(batch[0]).square().mean()

    experiment = tw.Experiment(mlp, train=(X, Y), test=False, step=step, directory=tmp_path)
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=1e-7), batch_size=32, epochs=3, probes=True)
    fix = experiment.fix(experiment.train(plan, listeners=()))
    assert not fix.accepted
    assert "cannot be scored" in str(fix)

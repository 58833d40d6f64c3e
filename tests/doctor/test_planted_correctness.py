"""Mistakes in code, planted in small trainings on real data: each is named by its rule, and its healthy twin passes.

Mistakes that cost nothing here are facts: a note, no alarm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn import datasets
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.findings import Finding

pytestmark = pytest.mark.slow


def standardized(name: str) -> tuple[Tensor, Tensor]:
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x = torch.tensor(x).float()
    return (x - x.mean(0)) / (x.std(0) + 1e-6), torch.tensor(y)


IMAGES, DIGITS = (torch.tensor(part) for part in datasets.load_digits(return_X_y=True))
IMAGES = IMAGES.float() / 16
CELLS, MALIGNANT = standardized("breast_cancer")
PATIENTS, PROGRESS = standardized("diabetes")
PROGRESS = ((PROGRESS - PROGRESS.mean()) / PROGRESS.std()).float()
EVEN = standardized("digits")[0]
BRIGHTEST = IMAGES.reshape(-1, 8, 8).argmax(2)  # of each line of pixels
ADAM, SGD = tw.optimizers.Adam(lr=2e-3), tw.optimizers.SGD


def mlp(inputs: int, outputs: int, *last: nn.Module, width: int = 32) -> nn.Sequential:
    hidden = (nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
    return nn.Sequential(*hidden, nn.Linear(width, outputs), *last)


def frozen(*, width: int = 32, first: int = 0, last: int | None = None) -> nn.Module:
    """A network whose parameters from `first` to `last` require no gradient."""
    network = mlp(64, 10, width=width)
    for parameter in list(network.parameters())[first:last]:
        parameter.requires_grad_(False)
    return network


class Body(nn.Module):
    """Layers of 8 units and an output; `kind` is what is wrong with them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.last = nn.Linear(64, 8), nn.Linear(8, 10)
        hidden = [nn.Linear(8, 8) for _ in range(3)]
        self.hidden = hidden if kind == "list" else nn.ModuleList(hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        if self.kind == "detach":
            x = x.detach()
        for layer in self.hidden if self.kind != "detach" else ():
            x = F.relu((nn.Linear(8, 8) if self.kind == "anew" else layer)(x))
        if self.kind == "dropout":
            x = F.dropout(x, 0.8)
        return self.last(x)


class Normed(nn.Module):
    """One norm for two layers of very different outputs, or one for each."""

    def __init__(self, *, shared: bool) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10)
        self.norm = nn.BatchNorm1d(32)
        self.other = self.norm if shared else nn.BatchNorm1d(32)
        with torch.no_grad():
            self.second.weight.mul_(20)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.other(self.second(F.relu(self.norm(self.first(x)))))))


class Lines(nn.Module):
    """A class for each line of pixels: `[N, 8, classes]`."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.out = nn.GRU(8, 16, batch_first=True), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(x.reshape(len(x), 8, 8))[0])


def squares(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).square().mean()


def of_probability(output: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(output.clamp_min(1e-7).log(), target)


def one_unit(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy(output[:, 0], target.float())


def one_logit(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output.reshape(-1), target.float())


def turned(output: Tensor, target: Tensor) -> Tensor:
    return output.log_softmax(1).gather(1, target[:, None]).mean()


def centered(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output - output.mean(0), target)


def over_rows(output: Tensor, target: Tensor) -> Tensor:
    return -output.softmax(0).gather(1, target[:, None]).clamp_min(1e-9).log().mean()


def summed(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="sum")


def per_line(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.permute(0, 2, 1), target)


@dataclass(frozen=True)
class Mistake:
    """A training; `trained` says that only its outcome tells whether the mistake is harmful."""

    build: Callable[[], nn.Module]
    x: Tensor = IMAGES
    y: Tensor = DIGITS
    loss: Any = "cross_entropy"
    optimizer: Any = ADAM
    epochs: int = 15
    trained: bool = False
    task: str | None = None

    def findings(self, directory: Path) -> list[Finding]:
        experiment = tw.Experiment(
            self.build,
            train=(self.x, self.y),
            validation=0.3,
            test=False,
            loss=self.loss,
            metrics=[],
            task=self.task,
            directory=directory,
        )
        plan = tw.Plan.plain(optimizer=self.optimizer, epochs=self.epochs, batch_size=64, probes=True, seed=0)
        return list(experiment.train(plan, listeners=()).findings if self.trained else experiment.check(plan).findings)


SLOW = SGD(lr=0.05)
BINARY, NUMBERS = {"x": CELLS, "y": MALIGNANT}, {"x": PATIENTS, "y": PROGRESS}
ALARMS: dict[str, tuple[str, str, Mistake]] = {
    "softmax before cross-entropy": ("LOSS02", "loss_head_mismatch", Mistake(lambda: mlp(64, 10, nn.Softmax(1)))),
    "sigmoid before cross-entropy": ("LOSS02", "loss_head_mismatch", Mistake(lambda: mlp(64, 10, nn.Sigmoid()))),
    "sigmoid before a loss on logits": (
        "LOSS02",
        "loss_head_mismatch",
        Mistake(lambda: mlp(30, 1, nn.Sigmoid()), **BINARY, loss="binary_cross_entropy"),
    ),
    "softmax twice": (
        "LOSS02",
        "loss_head_mismatch",
        Mistake(lambda: mlp(64, 10, nn.Softmax(1), nn.Softmax(1)), loss=of_probability),
    ),
    "softmax before nll_loss": (
        "LOSS02",
        "loss_head_mismatch",
        Mistake(lambda: mlp(64, 10, nn.Softmax(1)), loss="nll", optimizer=SLOW, trained=True),
    ),
    "logits before nll_loss": ("LOSS02", "loss_head_mismatch", Mistake(lambda: mlp(64, 10), loss="nll")),
    "softmax over one unit": (
        "LOSS02",
        "loss_head_mismatch",
        Mistake(lambda: mlp(30, 1, nn.Softmax(1)), **BINARY, loss=one_unit),
    ),
    "ReLU on numbers": (
        "LOSS02",
        "loss_head_mismatch",
        Mistake(lambda: mlp(10, 1, nn.ReLU()), PATIENTS, PROGRESS[:, None], "mse"),
    ),
    "ReLU on logits": (
        "LOSS02",
        "loss_head_mismatch",
        Mistake(lambda: mlp(30, 1, nn.ReLU()), **BINARY, loss="binary_cross_entropy"),
    ),
    "labels 1 and 2 for a loss of 0 and 1": (
        "LOSS02",
        "loss_head_mismatch",
        Mistake(lambda: mlp(30, 1), CELLS, MALIGNANT + 1, one_logit),
    ),
    "[N, 1] against [N]": ("LOSS02", "loss_head_mismatch", Mistake(lambda: mlp(10, 1), **NUMBERS, loss=squares)),
    "softmax over the rows": (
        "LOSS02",
        "loss_head_mismatch",
        Mistake(lambda: mlp(64, 10, nn.Softmax(0)), loss=of_probability),
    ),
    "sign": ("LOSS02", "loss_head_mismatch", Mistake(lambda: mlp(64, 10), loss=turned)),
    "mean over the rows in the loss": (
        "LOSS03",
        "loss_head_mismatch",
        Mistake(lambda: mlp(64, 10), loss=centered, trained=True),
    ),
    "sum over the batch": (
        "LR01",
        "lr_too_high",
        Mistake(lambda: mlp(64, 10), loss=summed, optimizer=SGD(lr=0.5), epochs=5, trained=True),
    ),
    "layers in a list": ("GRAD01", "parameters_not_trained", Mistake(lambda: Body("list"))),
    "layers made in forward": ("GRAD01", "parameters_not_trained", Mistake(lambda: Body("anew"))),
    "features detached": ("GRAD01", "parameters_not_trained", Mistake(lambda: Body("detach"))),
    "all but one bias frozen": ("FIT01", "parameters_not_trained", Mistake(lambda: frozen(last=-1))),
    "random features frozen": (
        "GRAD01",
        "parameters_not_trained",
        Mistake(lambda: frozen(width=4, last=-2), optimizer=tw.optimizers.Adam(lr=1e-2), trained=True),
    ),
    "dropout in evaluation": ("MODE01", "train_eval_mode", Mistake(lambda: Body("dropout"), trained=True)),
    "one norm for two layers": ("NORM03", "train_eval_mode", Mistake(lambda: Normed(shared=True), trained=True)),
}
NOTES: dict[str, tuple[str, Mistake]] = {
    "softmax over the rows in the loss": ("LOSS03", Mistake(lambda: mlp(64, 10), loss=over_rows, trained=True)),
    "frozen last layer": ("GRAD01", Mistake(lambda: frozen(first=-2), trained=True)),
    "one layer at two places": (
        "ARCH06",
        Mistake(
            lambda: nn.Sequential(nn.Linear(64, 32), *[nn.Linear(32, 32), nn.ReLU()] * 2, nn.Linear(32, 10)),
            trained=True,
        ),
    ),
}
HEALTHY: dict[str, Mistake] = {
    "log_softmax before cross-entropy": Mistake(lambda: mlp(64, 10, nn.LogSoftmax(1))),
    "a loss that permutes its outputs": Mistake(Lines, EVEN, BRIGHTEST, per_line, task="per_position"),
    "two norms": Mistake(lambda: Normed(shared=False)),
    "logits": Mistake(lambda: mlp(30, 1), CELLS, MALIGNANT, "binary_cross_entropy"),
    "numbers": Mistake(lambda: mlp(10, 1), PATIENTS, PROGRESS[:, None], squares),
}


@pytest.mark.parametrize("name", ALARMS)
def test_the_mistake_is_the_first_cause(name: str, tmp_path: Path) -> None:
    code, cause, mistake = ALARMS[name]
    found = [f for f in mistake.findings(tmp_path) if f.counts]
    assert found, "no alarm"
    assert found[0].cause == cause, "\n\n".join(map(str, found))
    assert code in {f.code for f in found}


@pytest.mark.parametrize("name", NOTES)
def test_a_mistake_that_costs_nothing_is_a_note(name: str, tmp_path: Path) -> None:
    code, mistake = NOTES[name]
    found = mistake.findings(tmp_path)
    assert not [f for f in found if f.counts], "\n\n".join(map(str, found))
    assert code in {f.code for f in found}


@pytest.mark.parametrize("name", HEALTHY)
def test_without_the_mistake_there_is_no_alarm(name: str, tmp_path: Path) -> None:
    found = HEALTHY[name].findings(tmp_path)
    assert not [f for f in found if f.counts], "\n\n".join(map(str, found))

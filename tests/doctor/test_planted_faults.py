"""The contract of the doctor: each well-known fault, planted in a small real training, is named as the first cause."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn import datasets
from torch import Tensor, nn

import thalweg as tw
from thalweg.findings import Finding

pytestmark = pytest.mark.slow
G = torch.Generator().manual_seed(0)
X = torch.randn(1500, 12, generator=G)
CLASSES = (torch.tanh(X @ torch.randn(12, 4, generator=G)) @ torch.randn(4, 3, generator=G)).argmax(1)
NUMBERS = torch.sin(2 * X[:, :1]) + X[:, 1:2] * X[:, 2:3]
IMAGES, DIGITS = (torch.tensor(part) for part in datasets.load_digits(return_X_y=True))
IMAGES = IMAGES.float() / 16


SGD, ADAM = tw.optimizers.SGD, tw.optimizers.Adam(lr=2e-3)


@dataclass(frozen=True)
class Fault:
    """A training; `check` says that it is seen before the first step."""

    cause: str
    build: Callable[[], nn.Module]
    x: Tensor = X
    y: Tensor = CLASSES
    loss: Any = "cross_entropy"
    optimizer: Any = ADAM
    epochs: int = 20
    batch_size: int = 64
    check: bool = False
    validation: Any = 0.3


def mlp(inputs: int = 12, outputs: int = 3, *last: nn.Module, width: int = 32, act: Any = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), act(), nn.Linear(width, width), act(), nn.Linear(width, outputs), *last
    )


def constant_start() -> nn.Module:
    network = mlp()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    return network


def dead_start() -> nn.Module:
    network = mlp()
    nn.init.constant_(network[0].bias, -50.0)
    return network


def large_start() -> nn.Module:
    network = mlp(64, 10)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=8.0)
    return network


def deep_sigmoids() -> nn.Module:
    return nn.Sequential(*[m for _ in range(8) for m in (nn.Linear(12, 12), nn.Sigmoid())], nn.Linear(12, 3))


class Frozen(nn.Module):
    """The features come detached from an untrained body."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.last = nn.Sequential(nn.Linear(64, 2), nn.ReLU()), nn.Linear(2, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(x).detach())


def normed() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 3),
    )


def dropping() -> nn.Module:
    layers = [m for _ in range(3) for m in (nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.9))]
    return nn.Sequential(*layers, nn.Linear(64, 10))


# Labels of which most are chance: only rows that were learned by heart are answered.
NOISE = torch.where(torch.rand(1500, generator=G) < 0.7, torch.randint(0, 3, (1500,), generator=G), CLASSES)
FAULTS: dict[str, Fault] = {
    "softmax before cross-entropy": Fault("loss_head_mismatch", lambda: mlp(64, 10, nn.Softmax(1)), IMAGES, DIGITS,
                                          optimizer=SGD(lr=0.05), check=True),
    "ReLU on the outputs of a regression": Fault("loss_head_mismatch", lambda: mlp(12, 1, nn.ReLU()), y=NUMBERS,
                                                 loss="mse", check=True),
    "one-unit softmax": Fault("loss_head_mismatch", lambda: mlp(12, 1, nn.Softmax(1)), y=(X[:, :1] > 0).float(),
                              loss=nn.BCELoss(), check=True),
    "[N] against [N, 1]": Fault("loss_head_mismatch", lambda: mlp(12, 1), y=NUMBERS[:, 0],
                                loss=lambda output, target: ((output - target) ** 2).mean(), check=True),
    "equal weights": Fault("init_constant", constant_start, check=True),
    "dead at the start": Fault("dead_units", dead_start, check=True),
    "weights of deviation 8": Fault("init_scale", large_start, IMAGES, DIGITS, optimizer=SGD(lr=0.01)),
    "inputs of very different units": Fault("input_scale", mlp, X * 10.0 ** (torch.arange(12) % 5) + 500,
                                            optimizer=SGD(lr=0.01)),
    "inputs so large that numbers end": Fault("input_scale", lambda: mlp(64, 10), 1e4 * IMAGES, DIGITS,
                                              optimizer=SGD(lr=1.0)),
    "targets of 1e5": Fault("target_scale", lambda: mlp(12, 1), y=1e5 * NUMBERS, loss="mse", check=True),
    "features detached": Fault("parameters_not_trained", Frozen, IMAGES, DIGITS),
    "eight sigmoids": Fault("vanishing", deep_sigmoids, optimizer=SGD(lr=0.1)),
    "linear layers only": Fault("no_nonlinearity", lambda: nn.Sequential(nn.Linear(12, 32), nn.Linear(32, 1)),
                                y=NUMBERS, loss="mse"),
    "rate of 1e3": Fault("lr_too_high", mlp, optimizer=SGD(lr=1e3)),
    "rate of 1e-6": Fault("lr_too_low", mlp, optimizer=SGD(lr=1e-6)),
    "shuffled labels": Fault("label_corruption", mlp, y=CLASSES[torch.randperm(1500, generator=G)]),
    "dropout of 0.9": Fault("dropout_excess", dropping, IMAGES, DIGITS, epochs=10),
    "batch norm of two rows": Fault("batchnorm_small_batch", normed, X[:400], CLASSES[:400], batch_size=2, epochs=5),
    "validation among training": Fault("split_leak", lambda: mlp(width=256), X[:1200], NOISE[:1200], epochs=60,
                                       validation=(X[1000:1400], NOISE[1000:1400])),
}  # fmt: skip


def alarms_of(fault: Fault, directory: Path) -> list[Finding]:
    experiment = tw.Experiment(
        fault.build,
        train=(fault.x, fault.y),
        validation=fault.validation,
        test=False,
        loss=fault.loss,
        metrics=[],
        directory=directory,
    )
    plan = tw.Plan.plain(
        optimizer=fault.optimizer, epochs=fault.epochs, batch_size=fault.batch_size, probes=True, seed=0
    )
    if fault.check:
        return [f for f in experiment.check(plan).findings if f.counts]
    return [f for f in experiment.train(plan, listeners=()).findings if f.counts]


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_the_first_cause(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    found = alarms_of(fault, tmp_path)
    assert found, "no alarm"
    assert found[0].cause == fault.cause, "\n\n".join(map(str, found))
    assert found[0].evidence
    assert found[0].remedies


REPAIRED: dict[str, Fault] = {
    "digits": replace(FAULTS["softmax before cross-entropy"], build=lambda: mlp(64, 10), check=False),
    "numbers": replace(FAULTS["[N] against [N, 1]"], y=NUMBERS, check=False, epochs=30),
    "classes": Fault("", mlp),
    # A sum over 64 rows at a 64th of the rate is the same training.
    "sum over the batch": Fault("", mlp, loss=nn.CrossEntropyLoss(reduction="sum"), optimizer=SGD(lr=0.2 / 64)),
}


@pytest.mark.parametrize("name", REPAIRED)
def test_without_the_fault_there_is_no_alarm(name: str, tmp_path: Path) -> None:
    assert alarms_of(REPAIRED[name], tmp_path) == []

"""Bare loops with one fault each, under `tw.watch`, and readings of the twin that a fault of a loop has."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.findings import Finding
from thalweg.readings import Reading
from thalweg.watched import Watch

ROWS, BATCH = 1200, 32


def twin(plain: float, changed: float, half: float = 0.04, name: str = "plain_loop") -> list[Reading]:
    """Scores of a loop and of its twin on 300 rows; a constant answer reaches a quarter."""
    gain = changed - plain
    return [
        Reading(f"twin.{name}.plain", plain, note="accuracy", count=300),
        Reading(f"twin.{name}.changed", changed, note="accuracy", count=300),
        Reading(f"twin.{name}.difference", gain, low=gain - half, high=gain + half, count=300),
        Reading(f"twin.{name}.constant", 0.25),
        Reading(f"twin.{name}.steps", 1.0),
    ]


def mlp(width: int = 32) -> nn.Module:
    return nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, 4))


def rows() -> tuple[Tensor, Tensor]:
    """Four classes, one for each sign of two directions: no linear network tells them apart."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, 12, generator=generator)
    return x, 2 * (x[:, 0] * x[:, 1] > 0).long() + (x[:, 2] + x[:, 3] > 0).long()


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)


def loop(
    *,
    network: nn.Module | None = None,
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] = sgd,
    data: tuple[Tensor, Tensor] | None = None,
    schedule: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler] | None = None,
    epochs: int = 6,
    clear: bool = True,
    shuffle: bool = True,
    sign: float = 1.0,
    lag: int = 0,
    step_first: bool = False,
    training: bool = True,
    validate: str = "",
    validation_passes: int = 1,
    told: bool = True,
) -> Watch:
    """A watched loop.

    Args:
        network: an MLP by default.
        optimizer: of the network.
        data: inputs and targets.
        schedule: stepped in every batch.
        epochs: over the rows.
        clear: whether gradients are cleared.
        shuffle: whether rows are drawn anew in each epoch.
        sign: of what `backward` is called on.
        lag: rows by which the targets lie behind.
        step_first: whether the optimizer steps before `backward`, its gradients cleared.
        training: whether training passes run in training mode.
        validate: mode of the passes without gradient: "train", "eval" or none of them.
        validation_passes: over the same rows.
        told: whether the loop reports its loss.
    """
    torch.manual_seed(0)
    model = mlp() if network is None else network
    (x, y), stepper = data or rows(), optimizer(model)
    scheduler = schedule(stepper) if schedule else None
    order, draw = torch.arange(len(y)), torch.Generator().manual_seed(1)
    with tw.watch(model, stepper, listeners=()) as watch:
        for _ in range(epochs):
            order = torch.randperm(len(y), generator=draw) if shuffle else order
            for chosen in range(0, len(y), BATCH):
                model.train(training)
                batch, behind = order[chosen : chosen + BATCH], order.roll(-lag)[chosen : chosen + BATCH]
                loss = F.cross_entropy(model(x[batch]), y[behind])
                if clear:
                    stepper.zero_grad()
                if step_first:
                    stepper.step()
                (sign * loss).backward()
                if not step_first:
                    stepper.step()
                if scheduler:
                    scheduler.step()
                if told:
                    watch.step(loss)
            if validate:
                model.train(validate == "train")
                with torch.no_grad():
                    for _ in range(validation_passes):
                        model(x[:200])
    return watch


def of(watch: Watch, code: str) -> list[Finding]:
    return [finding for finding in watch.findings if finding.code == code]


def alarms(watch: Watch) -> list[str]:
    return [finding.code for finding in watch.findings if finding.counts]

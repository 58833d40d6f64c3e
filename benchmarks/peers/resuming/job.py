"""What each trainer is asked to do: train, save as it goes, be stopped, and go on in another process."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

EPOCHS, BATCH, STEPS_PER_EPOCH, RATE = 3, 32, 8, 0.01
STOPS = {
    "mid": 11,
    "end": STEPS_PER_EPOCH,
}  # the step whose state is saved: within the second epoch, or after the first


def nothing() -> None:
    """Nothing happens at the stop."""


def die() -> None:
    """As a killed process does: at once, without saying goodbye."""
    os._exit(7)


@dataclass(frozen=True)
class Job:
    """One process of the test.

    Args:
        folder: where the trainer saves.
        when: `"mid"` saves every 11 steps, `"end"` after each epoch.
        stopped: whether this process is stopped two steps after its first save.
        resumed: whether it goes on from what a stopped process has left.
    """

    folder: Path
    when: str
    stopped: bool = False
    resumed: bool = False

    @property
    def every(self) -> int:
        """Steps between two saves."""
        return STOPS[self.when]

    def network(self, at: int | None = None, then: Callable[[], None] = die) -> "Network":
        """The network to train, which ends the process, where it is to be stopped, in the step after `at` others."""
        return Network(at or self.every + 2, then if self.stopped else nothing)


class Network(nn.Module):
    """Batch norm and dropout, in ten lines; counts its forward passes in training mode."""

    def __init__(self, at: int, then: Callable[[], None]) -> None:
        super().__init__()
        self.at, self.then, self.calls = at, then, 0
        self.layers = nn.Sequential(
            *(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU()),
            *(nn.Dropout(0.3), nn.Linear(32, 4)),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
            if self.calls == self.at:
                self.then()
        return self.layers(x)


class WithLoss(nn.Module):
    """Named inputs in, the loss out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(self.model(x), labels)}


def rows(count: int = BATCH * STEPS_PER_EPOCH) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 16, generator=generator), torch.arange(count) % 4


def loader() -> DataLoader:
    return DataLoader(TensorDataset(*rows()), batch_size=BATCH, shuffle=True)


def adam(model: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=RATE)


def state(model: nn.Module) -> list[Tensor]:
    """What is compared: weights and batch norm's estimates."""
    return [value.detach().clone() for value in model.state_dict().values()]

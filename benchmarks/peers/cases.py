"""The three models of the speed comparison, from all overhead to nearly none."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 10)),
    )


def deep() -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(64, 256), nn.ReLU()]
    for _ in range(10):
        layers += [nn.Linear(256, 256), nn.ReLU()]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight)  # torch's own start is too small for twelve layers to learn at once
    return nn.Sequential(*layers, nn.Linear(256, 10))


@dataclass(frozen=True)
class Case:
    """A model, the shape of its rows, and how much of it is timed."""

    title: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch_size: int
    steps_per_epoch: int
    epochs: int

    @property
    def num_steps(self) -> int:
        return self.steps_per_epoch * self.epochs


CASES = {
    "a": Case("MLP 64-128-128-10, batch 64", mlp, (64,), 64, 250, 4),
    "b": Case("CNN 28x28, 16 and 32 channels, batch 128", cnn, (1, 28, 28), 128, 32, 2),
    "c": Case("MLP of 12 layers of 256, batch 256", deep, (64,), 256, 60, 2),
}

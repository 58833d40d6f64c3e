"""What every trainer is asked to do: the same model, rows, optimizer, batch size and number of epochs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

CLASSES = 10


@dataclass(frozen=True)
class Work:
    """One training with SGD and momentum, or Adam: rows of `x`, `y`, shuffled anew in each epoch.

    Args:
        model: trained in place; thalweg also takes a function that builds it.
        held: 64 other rows, for the trainers that do not run without validation (thalweg and fastai).
        tuned: whether loader and optimizer are the fast forms that torch has: rows fetched a batch at a time instead of
            one by one, and the fused kernel. The tutorial's forms otherwise.
    """

    model: nn.Module | Callable[[], nn.Module]
    x: Tensor
    y: Tensor
    held: tuple[Tensor, Tensor]
    batch_size: int
    epochs: int
    tuned: bool = False
    adam: bool = False
    rate: float = 0.01
    momentum: float = 0.9

    def loader(self) -> DataLoader:
        rows = TensorDataset(self.x, self.y)
        if not self.tuned:
            return DataLoader(rows, batch_size=self.batch_size, shuffle=True)
        batches = BatchSampler(RandomSampler(rows), self.batch_size, drop_last=False)
        return DataLoader(rows, sampler=batches, batch_size=None)

    def make_optimizer(self, parameters: Iterable[Tensor], lr: float) -> torch.optim.Optimizer:
        fused = True if self.tuned else None
        if self.adam:
            return torch.optim.Adam(parameters, lr=lr, fused=fused)
        return torch.optim.SGD(parameters, lr=lr, momentum=self.momentum, fused=fused)

    def optimizer(self) -> torch.optim.Optimizer:
        return self.make_optimizer(self.model.parameters(), self.rate)


Train = Callable[[Work], nn.Module]  # trains, and returns the trained network


def rows(count: int, shape: tuple[int, ...], *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of ten overlapping classes, in turns, so that any stretch of ten holds each class once."""
    generator = torch.Generator().manual_seed(seed)
    centers = 0.3 * torch.randn(CLASSES, *shape, generator=torch.Generator().manual_seed(1))
    y = torch.arange(count) % CLASSES
    return centers[y] + torch.randn(count, *shape, generator=generator), y


def loss_on(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Mean loss in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return float(F.cross_entropy(model(x[:5000]), y[:5000]))

"""The losses that a loop reports, without a synchronization per step and without holding a tensor for each."""

from array import array
from typing import Any

import torch
from torch import Tensor

WAITING = 4096  # tensors that are held before one synchronization turns them into numbers


class Losses:
    """Numbers with their steps; tensors stay on their device until many of them wait.

    >>> losses = Losses()
    >>> losses.add(0, 2.5)
    >>> losses.add(1, torch.tensor([1.5], requires_grad=True))
    >>> losses.values(), len(losses)
    ([(0, 2.5), (1, 1.5)], 2)
    """

    def __init__(self) -> None:
        self._steps, self._numbers = array("q"), array("d")
        self._waiting: list[Any] = []

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: int, loss: Any) -> None:
        self._steps.append(step)
        self._waiting.append(loss.detach() if isinstance(loss, Tensor) else float(loss))
        if len(self._waiting) >= WAITING:
            self._fold()

    def values(self) -> list[tuple[int, float]]:
        self._fold()
        return list(zip(self._steps, self._numbers, strict=True))

    def _fold(self) -> None:
        with torch.no_grad(), torch._C.DisableTorchFunction():
            scalars = [t if t.dim() == 0 else t.reshape(-1)[0] for t in self._waiting if isinstance(t, Tensor)]
            alike = len({t.device for t in scalars}) == 1
            values = iter(torch.stack(scalars).tolist() if alike else map(float, scalars))  # synchronizes
        self._numbers.extend(next(values) if isinstance(t, Tensor) else t for t in self._waiting)
        self._waiting = []

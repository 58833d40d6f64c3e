"""Normal: weights of one deviation, whatever the layer (L09)."""

from dataclasses import dataclass
from typing import Any

from thalweg.parts.activations.activation import is_finite
from thalweg.parts.initializers.initializer import Initializer, Scale
from thalweg.parts.optimizers.optimizer import in_range


@dataclass(frozen=True, kw_only=True)
class Normal(Initializer):
    """Normal numbers of one deviation in every layer (L09).

        W ~ N(mean, std²)

    The signal is multiplied by std · √fan_in per layer: at 0.01 it dies within a few layers of 256 units, at 1 it
    saturates (L10). `He` and `Xavier` take the deviation from the layer.

    Args:
        mean: any finite number.
        std: deviation, at least 0. The default, 0.01, is the lecture's "small random"; 0.02 is GPT's and BERT's.

    Raises:
        UsageError: for a value out of range.

    >>> import torch
    >>> weight = Normal(std=0.02).fill_(torch.empty(100, 100), generator=torch.Generator().manual_seed(0))
    >>> round(float(weight.std()), 3)
    0.02

    Source: lecture row L09. As `torch.nn.init.normal_`, whose default deviation is 1.
    """

    mean: float = 0.0
    std: float = 0.01

    def __post_init__(self) -> None:
        self._check("mean", is_finite(self.mean), "a finite number")
        self._check("std", in_range(self.std, 0), "a number of at least 0, such as 0.02")

    @property
    def scales(self) -> bool:
        return False

    def _fill(self, tensor: Any, scale: Scale, groups: int, generator: Any) -> None:
        tensor.normal_(self.mean, self.std, generator=generator)

    def deviation(self, scale: Scale, shape: tuple[int, ...], groups: int = 1) -> float:
        return self.std

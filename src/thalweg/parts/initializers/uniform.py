"""Uniform: weights between two numbers, whatever the layer (L09)."""

from dataclasses import dataclass
from typing import Any

from thalweg.parts.activations.activation import is_finite
from thalweg.parts.initializers.initializer import Initializer, Scale


@dataclass(frozen=True, kw_only=True)
class Uniform(Initializer):
    """Uniform numbers of one range in every layer (L09).

        W ~ U(low, high),    Var W = (high − low)² / 12

    Args:
        low: lower end, a finite number. The default range, ±0.05, is Keras'.
        high: upper end, above `low`.

    Raises:
        UsageError: for an end that is not finite, or a range that is empty.

    >>> import torch
    >>> weight = Uniform().fill_(torch.empty(100, 100), generator=torch.Generator().manual_seed(0))
    >>> round(float(weight.min()), 3), round(float(weight.max()), 3)
    (-0.05, 0.05)

    Source: lecture row L09. As `torch.nn.init.uniform_`, whose default range, 0 to 1, gives units that are all alike.
    """

    low: float = -0.05
    high: float = 0.05

    def __post_init__(self) -> None:
        self._check("low", is_finite(self.low), "a finite number")
        self._check("high", is_finite(self.high) and self.high > self.low, f"a number above low={self.low!r}")

    @property
    def scales(self) -> bool:
        return False

    def _fill(self, tensor: Any, scale: Scale, groups: int, generator: Any) -> None:
        tensor.uniform_(self.low, self.high, generator=generator)

    def deviation(self, scale: Scale, shape: tuple[int, ...], groups: int = 1) -> float:
        return (self.high - self.low) / 12**0.5

"""Truncated normal: without the far tails, at the deviation that was asked for (L09)."""

from dataclasses import dataclass
from typing import Any

from thalweg.parts.activations.activation import is_finite
from thalweg.parts.initializers.distributions import draw_truncated_
from thalweg.parts.initializers.initializer import Initializer, Scale
from thalweg.parts.optimizers.optimizer import in_range


@dataclass(frozen=True, kw_only=True)
class TruncatedNormal(Initializer):
    """Normal numbers that are drawn again outside of two deviations, scaled so that `std` is their deviation (L09).

        z ~ N(0, 1) given low ≤ z ≤ high,    W = mean + std · (z − E[z]) / √Var[z]

    Args:
        mean: of the weights; any finite number.
        std: deviation of the weights, at least 0. The default, 0.02, is that of BERT and vision transformers.
        low: lower cut, in deviations before it.
        high: upper cut, above `low`.

    Raises:
        UsageError: for a value out of range.

    >>> import torch
    >>> weight = TruncatedNormal(std=0.02).fill_(torch.empty(100, 100), generator=torch.Generator().manual_seed(0))
    >>> round(float(weight.std()), 3), round(float(weight.abs().max()) / 0.02, 2)
    (0.02, 2.27)

    Source: lecture row L09. Unlike `torch.nn.init.trunc_normal_`, whose `a` and `b` are weights, not deviations, and
    whose `std` is the deviation before the cut: at two deviations the weights have 0.88 of it.
    """

    mean: float = 0.0
    std: float = 0.02
    low: float = -2.0
    high: float = 2.0

    def __post_init__(self) -> None:
        self._check("mean", is_finite(self.mean), "a finite number")
        self._check("std", in_range(self.std, 0), "a number of at least 0, such as 0.02")
        self._check("low", is_finite(self.low) and -6 <= self.low <= 6, "a number from -6 to 6, below high")
        good = is_finite(self.high) and self.low + 0.01 <= self.high <= 6
        self._check("high", good, f"a number above low={self.low!r}, at most 6")

    @property
    def scales(self) -> bool:
        return False

    def _fill(self, tensor: Any, scale: Scale, groups: int, generator: Any) -> None:
        draw_truncated_(tensor, self.mean, self.std, self.low, self.high, generator)

    def deviation(self, scale: Scale, shape: tuple[int, ...], groups: int = 1) -> float:
        return self.std

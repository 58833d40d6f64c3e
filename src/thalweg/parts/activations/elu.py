"""Exponential linear unit (L07)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation, is_finite

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class ELU(Activation):
    r"""Linear above 0, an exponential that levels off at −α below: means near 0 (L07).

        φ(x) = x for x > 0, else α (eˣ − 1)

    Args:
        alpha: α, above 0. With the default, 1, the derivative has no jump.

    Raises:
        UsageError: for another α.

    >>> import torch
    >>> ELU().function(torch.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])

    Source: Clevert, Unterthiner, Hochreiter 2016, "Fast and accurate deep network learning by exponential linear
    units". As `torch.nn.ELU`.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        self._check("alpha", is_finite(self.alpha) and self.alpha > 0, "a number above 0")

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    def function(self, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        return functional.elu(x, self.alpha)

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.ELU(self.alpha)

"""Leaky rectified linear unit (L06)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation, is_finite

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class LeakyReLU(Activation):
    r"""A ReLU with a small slope below 0, so that no unit dies (L06).

        φ(x) = x for x ≥ 0, else αx

    Args:
        slope: α, any finite number but 1, with which the network would be linear. The default, 0.01, is the source's
            and torch's; 0.1 to 0.3 is usual where units die.

    Raises:
        UsageError: for another slope.

    >>> import torch
    >>> LeakyReLU(slope=0.1).function(torch.tensor([-2.0, 2.0]))
    tensor([-0.2000,  2.0000])

    Source: Maas, Hannun, Ng 2013, "Rectifier nonlinearities improve neural network acoustic models". As
    `torch.nn.LeakyReLU`, which calls the slope `negative_slope`.
    """

    slope: float = 0.01

    def __post_init__(self) -> None:
        self._check("slope", is_finite(self.slope) and self.slope != 1, "a finite number other than 1 (linear)")

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    def function(self, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        return functional.leaky_relu(x, self.slope)

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.LeakyReLU(self.slope)

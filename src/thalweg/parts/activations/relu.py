"""Rectified linear unit (L05)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class ReLU(Activation):
    r"""The positive part: cheap, and without saturation above 0 (L05).

        φ(x) = max(0, x),    φ′(x) = 1 for x > 0, else 0

    Below 0 nothing flows back: a unit that is negative on every row gets no gradient and stays so (`ACT03` finds it).

    >>> import torch
    >>> ReLU().function(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])

    Source: Nair, Hinton 2010, "Rectified linear units improve restricted Boltzmann machines". As `torch.nn.ReLU`,
    also in φ′(0) = 0.
    """

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    def function(self, x: "Tensor") -> "Tensor":
        return x.relu()

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.ReLU()

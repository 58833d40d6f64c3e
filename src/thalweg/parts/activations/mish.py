"""Mish (L07)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Mish(Activation):
    r"""The number times the tanh of its softplus: like SiLU, a little steeper (L07).

        φ(x) = x tanh(ln(1 + eˣ))

    >>> import torch
    >>> Mish().function(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.3034,  0.0000,  0.8651])

    Source: Misra 2019, "Mish: a self regularized non-monotonic activation function". As `torch.nn.Mish`.
    """

    def function(self, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        return functional.mish(x)

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.Mish()

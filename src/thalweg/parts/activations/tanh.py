"""Hyperbolic tangent (L04)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Tanh(Activation):
    r"""Squashes to (−1, 1), centered on 0; saturates on both sides like the sigmoid (L04).

        φ(x) = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ) = 2 sigmoid(2x) − 1,    φ′(x) = 1 − φ(x)² ≤ 1

    >>> import torch
    >>> Tanh().function(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.7616,  0.0000,  0.7616])

    Source: LeCun et al. 1998, "Efficient BackProp". As `torch.nn.Tanh`.
    """

    def function(self, x: "Tensor") -> "Tensor":
        return x.tanh()

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.Tanh()

"""Sigmoid linear unit, also called swish (L07)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class SiLU(Activation):
    r"""The number times its sigmoid: smooth, with a shallow valley below 0; also called swish (L07).

        φ(x) = x / (1 + e⁻ˣ)

    >>> import torch
    >>> SiLU().function(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.2689,  0.0000,  0.7311])

    Source: Elfwing, Uchibe, Doya 2018, "Sigmoid-weighted linear units"; Ramachandran, Zoph, Le 2017, "Searching for
    activation functions". As `torch.nn.SiLU`.
    """

    def function(self, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        return functional.silu(x)

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.SiLU()

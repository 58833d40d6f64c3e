"""No activation (L02)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Identity(Activation):
    r"""No activation: linear layers with nothing between them are one linear layer (L02).

        φ(x) = x

    As a value of `compare` it shows what the activations of a network are worth.

    >>> import torch
    >>> Identity().function(torch.tensor([-1.0, 2.0]))
    tensor([-1.,  2.])

    Source: lecture row L02. As `torch.nn.Identity`.
    """

    def function(self, x: "Tensor") -> "Tensor":
        return x

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.Identity()

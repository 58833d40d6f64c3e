"""Hardswish (L07)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Hardswish(Activation):
    r"""SiLU with the sigmoid made of straight lines, for small devices (L07).

        φ(x) = x · min(max(x + 3, 0), 6) / 6

    >>> import torch
    >>> Hardswish().function(torch.tensor([-4.0, -1.0, 1.0, 4.0]))
    tensor([-0.0000, -0.3333,  0.6667,  4.0000])

    Source: Howard et al. 2019, "Searching for MobileNetV3". As `torch.nn.Hardswish`.
    """

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-3.0, 3.0)

    def function(self, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        return functional.hardswish(x)

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.Hardswish()

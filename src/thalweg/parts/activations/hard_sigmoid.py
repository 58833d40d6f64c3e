"""Hard sigmoid (L07)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class HardSigmoid(Activation):
    r"""A sigmoid made of straight lines: without exp, and flat beyond ±3 (L07).

        φ(x) = min(max(x + 3, 0), 6) / 6

    >>> import torch
    >>> HardSigmoid().function(torch.tensor([-4.0, 0.0, 1.5]))
    tensor([0.0000, 0.5000, 0.7500])

    Source: Courbariaux, Bengio, David 2015, "BinaryConnect", there with a slope of 1/2; this slope, 1/6, is
    MobileNetV3's (Howard et al. 2019) and torch's. As `torch.nn.Hardsigmoid`.
    """

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-3.0, 3.0)

    def function(self, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        return functional.hardsigmoid(x)

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.Hardsigmoid()

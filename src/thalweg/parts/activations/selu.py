"""Scaled exponential linear unit (L07)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class SELU(Activation):
    r"""An ELU scaled so that mean 0 and variance 1 reproduce themselves from layer to layer (L07).

        φ(x) = λx for x > 0, else λα (eˣ − 1),    λ = 1.0507…, α = 1.6733…

    λ and α solve E[φ(z)] = 0 and E[φ(z)²] = 1 for standard-normal z, so its gain is 1: it goes with LeCun's
    initialization, and with alpha dropout instead of dropout.

    >>> import torch
    >>> SELU().function(torch.tensor([-1.0, 1.0]))
    tensor([-1.1113,  1.0507])

    Source: Klambauer et al. 2017, "Self-normalizing neural networks". As `torch.nn.SELU`; torch's
    `calculate_gain("selu")` is 3/4 instead, chosen by experiment.
    """

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    def function(self, x: "Tensor") -> "Tensor":
        import torch

        return torch.selu(x)

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.SELU()

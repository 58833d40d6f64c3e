"""Softplus (L07)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation, is_finite

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Softplus(Activation):
    r"""A smooth ReLU, everywhere positive (L07); what makes a number a scale or a rate.

        φ(x) = ln(1 + e^{βx}) / β;    x itself where βx > threshold

    Args:
        beta: β, above 0: the larger, the nearer to ReLU. 1 is the source's and torch's.
        threshold: of βx, above 0, beyond which it is x. At the default, 20, that changes φ by 2e-9 / β, less than
            float32 resolves.

    Raises:
        UsageError: for numbers out of range.

    >>> import torch
    >>> Softplus().function(torch.tensor([-1.0, 0.0, 30.0]))
    tensor([ 0.3133,  0.6931, 30.0000])

    Source: Dugas et al. 2001, "Incorporating second-order functional knowledge". As `torch.nn.Softplus`.
    """

    beta: float = 1.0
    threshold: float = 20.0

    def __post_init__(self) -> None:
        self._check("beta", is_finite(self.beta) and self.beta > 0, "a number above 0")
        self._check("threshold", is_finite(self.threshold) and self.threshold > 0, "a number above 0")

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.threshold / self.beta,)

    def function(self, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        return functional.softplus(x, self.beta, self.threshold)

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.Softplus(self.beta, self.threshold)

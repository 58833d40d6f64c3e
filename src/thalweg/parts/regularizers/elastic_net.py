"""The elastic net: L1 and L2 together (L29)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.regularizers.l1 import add_signs_, soft_threshold_
from thalweg.parts.regularizers.regularizer import Regularizer, sum_of_absolutes, sum_of_squares

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ElasticNet(Regularizer):
    r"""Absolute and squared weights in the loss: sparse as L1, steady among correlated weights as L2 (L29).

        R(θ) = λ₁ Σ|θ| + λ₂/2 Σθ²,    g ← g + λ₁ sign(θ) + λ₂ θ    (before clipping)

    Proximal, the L1 part is soft thresholding after the update at rate η, θ ← sign(θ) max(|θ| − ηλ₁, 0), which leaves
    exact zeros; the L2 part stays in the gradient.

    Args:
        l1: λ₁, at least 0.
        l2: λ₂, at least 0; the number that torch calls `weight_decay`.
        proximal: soft thresholding instead of the subgradient of the L1 part.

    Raises:
        UsageError: for a strength out of range.

    >>> import torch
    >>> weights, gradients = [torch.tensor([0.5, -2.0])], [torch.zeros(2)]
    >>> ElasticNet(l1=0.1, l2=0.1).add_(gradients, weights)
    >>> gradients
    [tensor([ 0.1500, -0.3000])]

    Source: Zou, Hastie 2005, "Regularization and variable selection via the elastic net". scikit-learn's `alpha` and
    `l1_ratio` are l1 = alpha · l1_ratio and l2 = alpha · (1 − l1_ratio), beside half the mean squared error.
    """

    l1: float = 1e-5
    l2: float = 1e-4
    proximal: bool = False

    def __post_init__(self) -> None:
        self._require_strength("l1", "l2")
        self._check("proximal", isinstance(self.proximal, bool), "True or False")

    def add_(self, gradients: "list[Tensor]", parameters: "list[Tensor]") -> None:
        import torch

        torch._foreach_add_(gradients, parameters, alpha=self.l2)
        if not self.proximal:
            add_signs_(gradients, parameters, self.l1)

    def constrain_(self, parameters: "list[Tensor]", *, rate: "float | Tensor", transposed: Sequence[int] = ()) -> None:
        if self.proximal:
            soft_threshold_(parameters, rate * self.l1)

    def penalty(self, parameters: "Sequence[Tensor]") -> "Tensor":
        return self.l1 * sum_of_absolutes(parameters) + self.l2 / 2 * sum_of_squares(parameters)

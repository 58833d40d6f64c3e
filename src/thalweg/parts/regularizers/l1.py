"""The L1 penalty, by its subgradient or by soft thresholding (L29)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.regularizers.regularizer import Regularizer, sum_of_absolutes

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class L1(Regularizer):
    r"""The sum of absolute weights in the loss: pulls every weight to 0 with the same force (L29).

        R(θ) = λ Σ|θ|
        g ← g + λ sign(θ), sign(0) = 0                   (subgradient, before clipping)
        θ ← sign(θ) max(|θ| − ηλ, 0)                     (proximal, after the update at rate η)

    The subgradient is what autograd makes of the norm in the loss. Its steps jump over 0, so that weights become small
    and none becomes 0. The proximal form sets those to exactly 0 that the penalty holds there; under plain SGD it is
    iterative soft thresholding, which converges to the same minimum. Under momentum or Adam it is decoupled, as AdamW's
    decay is: λ then acts past the optimizer's scaling, and momentum μ, which multiplies the rate of the gradient by
    1 / (1 − μ) in the long run, leaves it (1 − μ) of its weight. A weight stays 0 while its gradient is below λ;
    that of small batches is noisy, and λ must be above the noise too.

    Args:
        strength: λ, at least 0. 1e-5 is a careful start: the force does not fall with the weight.
        proximal: soft thresholding instead of the subgradient.

    Raises:
        UsageError: for a strength out of range.

    >>> import torch
    >>> weights, gradients = [torch.tensor([0.5, -2.0, 0.0])], [torch.zeros(3)]
    >>> L1(strength=0.1).add_(gradients, weights)
    >>> gradients
    [tensor([ 0.1000, -0.1000,  0.0000])]
    >>> L1(strength=1.0, proximal=True).constrain_(weights, rate=0.5)
    >>> weights
    [tensor([ 0.0000, -1.5000,  0.0000])]

    Source: Tibshirani 1996, "Regression shrinkage and selection via the lasso"; proximal: Daubechies, Defrise, De Mol
    2004. torch has no L1 penalty; with the norm in the loss each step builds and walks its graph.
    """

    strength: float = 1e-5
    proximal: bool = False

    def __post_init__(self) -> None:
        self._require_strength("strength")
        self._check("proximal", isinstance(self.proximal, bool), "True or False")

    def add_(self, gradients: "list[Tensor]", parameters: "list[Tensor]") -> None:
        if not self.proximal:
            add_signs_(gradients, parameters, self.strength)

    def constrain_(self, parameters: "list[Tensor]", *, rate: "float | Tensor", transposed: Sequence[int] = ()) -> None:
        if self.proximal:
            soft_threshold_(parameters, rate * self.strength)

    def penalty(self, parameters: "Sequence[Tensor]") -> "Tensor":
        return self.strength * sum_of_absolutes(parameters)


def add_signs_(gradients: "list[Tensor]", parameters: "list[Tensor]", strength: float) -> None:
    import torch

    torch._foreach_add_(gradients, torch._foreach_sign(parameters), alpha=strength)


def soft_threshold_(parameters: "list[Tensor]", amount: "float | Tensor") -> None:
    """Takes from each entry what of it lies within ±amount, so that exactly 0 remains of the small ones."""
    import torch

    if isinstance(amount, torch.Tensor):  # of a compiled step; there are no kernels for lists and a bound in a tensor
        within = [p.clamp(-amount, amount) for p in parameters]
    else:
        within = list(torch._foreach_clamp_min(parameters, -amount))
        torch._foreach_clamp_max_(within, amount)
    torch._foreach_sub_(parameters, within)

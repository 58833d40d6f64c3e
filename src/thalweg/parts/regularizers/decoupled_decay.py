"""Decay of the weights beside the gradient, for any optimizer (L29)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.regularizers.regularizer import Regularizer, sum_of_squares

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class DecoupledDecay(Regularizer):
    r"""Shrinks the weights at each update, past the optimizer's momentum and scaling (L29).

        θ ← θ − ηλθ,  then the optimizer's update at rate η

    What AdamW does to Adam, for any optimizer: with SGD and momentum it is SGDW. The gradient, its clipping and the
    optimizer's state do not see it. Under plain SGD it is the same as `L2`; momentum μ multiplies the rate of the
    gradient by 1 / (1 − μ) in the long run, but not that of the decay, whose λ is as much larger for the same effect.

    Args:
        strength: λ, at least 0; 0.01 as in AdamW. The share that a step takes away is ηλ and falls with the schedule.

    Raises:
        UsageError: for a strength out of range.

    >>> import torch
    >>> weights = [torch.tensor([0.5, -2.0])]
    >>> DecoupledDecay(strength=0.1).decay_(weights, rate=0.5)
    >>> weights
    [tensor([ 0.4750, -1.9000])]

    Source: Loshchilov, Hutter 2019, "Decoupled weight decay regularization". `weight_decay` of torch's AdamW; its SGD
    has only the coupled form. The penalty that is reported is λ/2 Σθ².
    """

    strength: float = 0.01

    def __post_init__(self) -> None:
        self._require_strength("strength")

    def decay_(self, parameters: "list[Tensor]", *, rate: "float | Tensor") -> None:
        import torch

        torch._foreach_mul_(parameters, 1 - rate * self.strength)

    def penalty(self, parameters: "Sequence[Tensor]") -> "Tensor":
        return self.strength / 2 * sum_of_squares(parameters)

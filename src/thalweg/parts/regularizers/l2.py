"""The L2 penalty (L29)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.regularizers.regularizer import Regularizer, sum_of_squares

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class L2(Regularizer):
    r"""Half the sum of squared weights in the loss: pulls a weight to 0 in proportion to it (L29).

        R(θ) = λ/2 Σθ²,    g ← g + λθ    (before clipping)

    The half makes λ the number that torch's optimizers call `weight_decay`, and SGD without clipping does the same
    with either. They part where gradients are clipped: the penalty is a part of the loss and clipped with it, an
    optimizer's `weight_decay` comes after. Adam divides the penalty's gradient by the size of past ones, which weakens
    it where gradients are large; `DecoupledDecay`, or AdamW, does not.

    Args:
        strength: λ, at least 0; 1e-4 is usual for convolutional networks under SGD.

    Raises:
        UsageError: for a strength out of range.

    >>> import torch
    >>> weights, gradients = [torch.tensor([0.5, -2.0])], [torch.ones(2)]
    >>> L2(strength=0.1).add_(gradients, weights)
    >>> gradients, L2(strength=0.1).penalty(weights)
    ([tensor([1.0500, 0.8000])], tensor(0.2125))

    Source: Hoerl, Kennard 1970, "Ridge regression". `weight_decay` of torch's SGD, Adagrad, RMSprop and Adam, when
    nothing is clipped; Keras' `L2` has no half: its λ is half of this one.
    """

    strength: float = 1e-4

    def __post_init__(self) -> None:
        self._require_strength("strength")

    def add_(self, gradients: "list[Tensor]", parameters: "list[Tensor]") -> None:
        import torch

        torch._foreach_add_(gradients, parameters, alpha=self.strength)

    def penalty(self, parameters: "Sequence[Tensor]") -> "Tensor":
        return self.strength / 2 * sum_of_squares(parameters)

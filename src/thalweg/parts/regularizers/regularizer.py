"""What every regularizer of the weights is: what it adds to their gradients, and the limits it keeps them in (L29)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.part import Part

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Regularizer(Part):
    """A penalty on weights or a limit of them.

    The loss that is shown, raced and compared is that of the data: a penalty acts through the gradients alone, and its
    value is a reading of its own, `regularizer.penalty`. Biases, norms and embeddings are left alone unless the plan
    says `decay_all=True`: they are few, and pulling them to 0 moves what the network computes without making it
    simpler.

    In a loop of one's own the calls are, under `torch.no_grad()`: `add_` after backward, clipping, `decay_`, the
    optimizer's step, `constrain_`.
    """

    def add_(self, gradients: "list[Tensor]", parameters: "list[Tensor]") -> None:
        """Adds the penalty's gradient, in place, before any clipping.

        Args:
            gradients: of the parameters below, as many; dense.
            parameters: those that are regularized and have a gradient.
        """

    def decay_(self, parameters: "list[Tensor]", *, rate: "float | Tensor") -> None:
        """Shrinks the parameters, in place, right before the optimizer's update at this learning rate."""

    def constrain_(self, parameters: "list[Tensor]", *, rate: "float | Tensor", transposed: Sequence[int] = ()) -> None:
        """Brings the parameters into their limits, in place, after the update.

        Args:
            parameters: those that were updated.
            rate: the learning rate of the update.
            transposed: of each parameter the `groups` of the transposed convolution that it is the weight of, else 0;
                empty where none is.
        """

    def penalty(self, parameters: "Sequence[Tensor]") -> "Tensor":
        """The penalty's value, a scalar that autograd can derive; 0 for what is a limit only."""
        return parameters[0].new_zeros(())

    def _require_strength(self, *names: str) -> None:
        for name in names:
            self._check(name, in_range(getattr(self, name), 0), "a number of at least 0")


def sum_of_absolutes(parameters: "Sequence[Tensor]") -> "Tensor":
    """Σ|θ| over all entries; half precision is summed in float32."""
    import torch

    return torch.stack([p.abs().sum(dtype=torch.promote_types(p.dtype, torch.float32)) for p in parameters]).sum()


def sum_of_squares(parameters: "Sequence[Tensor]") -> "Tensor":
    """Σθ² over all entries; half precision is squared and summed in float32."""
    import torch

    wide = [p.to(torch.promote_types(p.dtype, torch.float32)) for p in parameters]
    return torch.stack([p.square().sum() for p in wide]).sum()

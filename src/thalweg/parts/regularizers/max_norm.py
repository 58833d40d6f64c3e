"""A limit of each unit's weights (L29)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.regularizers.regularizer import Regularizer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MaxNorm(Regularizer):
    r"""Scales the incoming weights of a unit back to a norm where they exceed it, after each update (L29).

        w ← w · min(1, c / ‖w‖₂)    for each unit's weights w

    A unit is a row of a linear layer, an output filter of a convolution (grouped or transposed too), a gate's unit of a
    recurrent layer. Vectors, such as biases, have no incoming weights and are left alone. Below the limit nothing is
    pulled, so that large rates can be tried without weights that run away: hence its use with dropout.

    Args:
        limit: c, above 0; 3 to 4 with dropout.

    Raises:
        UsageError: for a limit out of range.

    >>> import torch
    >>> weights = [torch.tensor([[3.0, 4.0], [0.3, 0.4]])]
    >>> MaxNorm(limit=1.0).constrain_(weights, rate=0.1)
    >>> weights
    [tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])]

    Source: Srebro, Shraibman 2005; Srivastava et al. 2014, "Dropout", section 5.1. It is `torch.renorm` in place, along
    the dimension of the units, which divides by ‖w‖₂ + 1e-7. Its penalty is 0.
    """

    limit: float = 3.0

    def __post_init__(self) -> None:
        self._check("limit", in_range(self.limit, 0) and self.limit != 0, "a number above 0")

    def constrain_(self, parameters: "list[Tensor]", *, rate: "float | Tensor", transposed: Sequence[int] = ()) -> None:
        for parameter, groups in zip(parameters, transposed or [0] * len(parameters), strict=True):
            if parameter.dim() < 2:
                continue
            # A transposed convolution's weight is [in, out / groups, ...], the inputs of each group one after another.
            for block in parameter.chunk(groups) if groups else [parameter]:
                block.renorm_(2, 1 if groups else 0, self.limit)

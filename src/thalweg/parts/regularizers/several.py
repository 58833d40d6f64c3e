"""Several regularizers at once (L29)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.regularizers.regularizer import Regularizer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Several(Regularizer):
    r"""Penalties and limits together, in their order (L29).

        R(θ) = R₁(θ) + R₂(θ) + …

    Args:
        parts: two regularizers or more.

    Raises:
        UsageError: for something that is no regularizer, or fewer than two.

    >>> import torch
    >>> from thalweg.parts.regularizers import L2, MaxNorm
    >>> both = Several(parts=(L2(strength=0.1), MaxNorm(limit=1.0)))
    >>> both.penalty([torch.tensor([[3.0, 4.0]])])
    tensor(1.2500)

    Source: the sum of penalties is one; limits after an update are applied one after another, so that the last one
    holds.
    """

    parts: tuple[Regularizer, ...] = ()

    def __post_init__(self) -> None:
        good = isinstance(self.parts, tuple) and all(isinstance(part, Regularizer) for part in self.parts)
        self._check("parts", good and len(self.parts) > 1, "a tuple of two regularizers or more")

    def add_(self, gradients: "list[Tensor]", parameters: "list[Tensor]") -> None:
        for part in self.parts:
            part.add_(gradients, parameters)

    def decay_(self, parameters: "list[Tensor]", *, rate: "float | Tensor") -> None:
        for part in self.parts:
            part.decay_(parameters, rate=rate)

    def constrain_(self, parameters: "list[Tensor]", *, rate: "float | Tensor", transposed: Sequence[int] = ()) -> None:
        for part in self.parts:
            part.constrain_(parameters, rate=rate, transposed=transposed)

    def penalty(self, parameters: "Sequence[Tensor]") -> "Tensor":
        import torch

        return torch.stack([part.penalty(parameters) for part in self.parts]).sum()

"""Constant: every weight the same number, which no hidden layer recovers from (L08)."""

from dataclasses import dataclass
from typing import Any

from thalweg.parts.activations.activation import is_finite
from thalweg.parts.initializers.initializer import Initializer, Scale


@dataclass(frozen=True, kw_only=True)
class Constant(Initializer):
    """Every weight is the same number (L08).

        W = value

    All units of a layer then compute the same and get the same gradient: they stay copies of one another. It is here
    to be shown, for a last layer, and for layers without hidden units; `INIT01` finds it in a network.

    Args:
        value: any finite number. The default, 0, makes outputs of 0 and, before a hidden layer, gradients of 0.

    Raises:
        UsageError: for a value that is not finite.

    >>> import torch
    >>> Constant(value=0.5).fill_(torch.empty(1, 2))
    tensor([[0.5000, 0.5000]])

    Source: lecture row L08. As `torch.nn.init.constant_`.
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        self._check("value", is_finite(self.value), "a finite number")

    @property
    def scales(self) -> bool:
        return False

    def _fill(self, tensor: Any, scale: Scale, groups: int, generator: Any) -> None:
        tensor.fill_(self.value)

    def deviation(self, scale: Scale, shape: tuple[int, ...], groups: int = 1) -> float:
        return 0.0

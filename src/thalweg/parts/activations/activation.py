"""What every activation is: a function of each number, as plain data, and torch's module of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from thalweg.parts.part import Part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from thalweg.parts.activations.card import Card


@dataclass(frozen=True, kw_only=True)
class Activation(Part, ABC):
    """A function applied to each number, y = φ(x), without state of its own.

    >>> import torch
    >>> from thalweg.parts.activations import ReLU
    >>> ReLU().function(torch.tensor([-1.0, 2.0])), ReLU().build()
    (tensor([0., 2.]), ReLU())
    """

    @abstractmethod
    def function(self, x: "Tensor") -> "Tensor":
        """φ(x), shaped like x."""

    @abstractmethod
    def build(self, channels: int | None = None) -> "nn.Module":
        """The module of it; `channels` of dimension 1 get a parameter each where the activation learns some."""

    @property
    def kinks(self) -> tuple[float, ...]:
        """Where φ or its derivative jumps; there integrals are split and limits taken from both sides."""
        return ()

    def card(self, *, measure: bool = False) -> "Card":
        """Its properties, computed from `function` in float64 and from autograd's derivative.

        Args:
            measure: also times forward and backward beside ReLU, here and now (about half a second).
        """
        from thalweg.parts.activations.card import card

        return card(self, measure=measure)


def is_finite(value: object) -> bool:
    """Whether it is a finite number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)

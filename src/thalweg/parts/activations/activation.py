"""What every activation is: a function of each number, as plain data, and torch's module of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Activation(ABC):
    """A function applied to each number, y = φ(x), without state of its own."""

    @abstractmethod
    def function(self, x: "Tensor") -> "Tensor":
        """φ(x), shaped like x."""

    @abstractmethod
    def build(self, channels: int | None = None) -> "nn.Module":
        """The module of it; `channels` of dimension 1 get a parameter each where the activation learns some."""

"""What every normalization is: plain data, and the module of it for a number of channels."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Normalization(ABC):
    """A layer that normalizes what passes through it."""

    @abstractmethod
    def build(self, num_features: int, *, dims: int = 2) -> "nn.Module":
        """The module for `[N, num_features, ...]` with `dims` dimensions of places after the channels."""

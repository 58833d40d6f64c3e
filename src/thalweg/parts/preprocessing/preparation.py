"""What every preparation of the inputs is, as plain data: fitted on training rows it becomes a module (L12)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from thalweg.data.rows import AnyRows


@dataclass(frozen=True, kw_only=True)
class Preparation(ABC):
    """How inputs are prepared before the network sees them."""

    @abstractmethod
    def fit(self, rows: "AnyRows") -> "nn.Module":
        """The module with what was measured on training rows. Raises `DataError` for other rows."""

"""Smallest and largest value per column: the mergeable state of min-max scaling."""

from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.parts.preprocessing.columns import as_rows

BLOCK = 2**17  # values of which both are taken while they are in the cache


@dataclass(frozen=True, eq=False)
class Extremes:
    """The range of each column, exact. States merge in any order; none can be taken out of another.

    Args:
        count: values per column.
        low: `[C]` float64, the smallest; infinite before the first value.
        high: `[C]` float64, the largest.

    >>> state = Extremes.empty(2).update(torch.tensor([[1.0, 5.0], [3.0, 4.0]]))
    >>> state.low.tolist(), state.high.tolist()
    ([1.0, 4.0], [3.0, 5.0])
    """

    count: int
    low: Tensor
    high: Tensor

    @classmethod
    def empty(cls, num_columns: int) -> "Extremes":
        infinite = torch.full((num_columns,), torch.inf, dtype=torch.float64)
        return cls(0, infinite, -infinite)

    def update(self, batch: Tensor) -> "Extremes":
        """These values and those of a batch `[N, C, ...]`."""
        rows = as_rows(batch)
        if not len(rows):
            return self
        blocks = torch.split(rows, max(BLOCK // rows.shape[1], 1)) if rows.shape[1] else (rows,)
        lows, highs = zip(*((block.amin(0), block.amax(0)) for block in blocks), strict=True)
        low, high = torch.stack(lows).amin(0), torch.stack(highs).amax(0)
        return self.merge(Extremes(len(rows), low.double(), high.double()))

    def merge(self, other: "Extremes") -> "Extremes":
        """These values and the other ones."""
        low, high = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        return Extremes(self.count + other.count, low, high)

    def subtract(self, other: "Extremes") -> "Extremes":
        """Impossible: what remains below a largest value that goes was not kept. Raises `UsageError`."""
        raise UsageError(
            f"The smallest and largest of the other values are not known without these {other.count:,}. For k folds "
            "measure each fold and merge the states of the other k − 1."
        )

    def pooled(self) -> "Extremes":
        """All columns as one."""
        return Extremes(self.count * len(self.low), self.low.min()[None], self.high.max()[None])

    @property
    def is_finite(self) -> bool:
        return self.count == 0 or bool(self.low.isfinite().all() and self.high.isfinite().all())

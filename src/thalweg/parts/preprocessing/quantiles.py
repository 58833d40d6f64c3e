"""Quantiles per column: exact while the values fit into memory, else a sketch with a guaranteed rank error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.parts.preprocessing.columns import as_rows

KEPT = 2**23  # values per level: 32 MiB of float32
MIN_ROWS = 1024
BLOCK = 2**22  # values that are ranked at once: a sort takes ten times their 32 MiB


@dataclass(frozen=True, eq=False)
class Quantiles:
    """The sorted values of each column, thinned out level by level. States merge in any order; none can be taken out.

    Level h holds values that stand for 2^h each. When a level holds 2k rows, they are sorted and every second goes up.
    Each such step moves a rank by at most 2^h; their sum is `error`, and

        |rank of the answer − rank asked for| ≤ error ≤ N · log₂(N / k) / (2k).

    With k = 10,699 rows, as for 784 columns, a billion rows have a rank error below 0.08 %; up to 2k rows are exact.

    Args:
        count: values per column.
        capacity: k, rows that go up at once.
        levels: per level chunks `[n, C]`; float64 stays, else float32, which holds smaller types exactly.
        error: the largest possible error of a rank; 0 is exact.
        is_finite: whether all values were.

    >>> state = Quantiles.empty(1).update(torch.arange(101.0)[:, None])
    >>> state.at([0.25, 0.5]).tolist(), state.rank_error
    ([[25.0], [50.0]], 0.0)

    Source: Manku, Rajagopalan, Lindsay 1998, "Approximate medians and other quantiles in one pass and with limited
    memory"; the alternating choice of the odd and the even ones lets errors cancel.
    """

    count: int
    capacity: int
    levels: tuple[tuple[Tensor, ...], ...]
    error: int = 0
    is_finite: bool = True

    @classmethod
    def empty(cls, num_columns: int, kept: int = KEPT) -> "Quantiles":
        empty = torch.zeros(0, num_columns)
        return cls(0, max(kept // max(num_columns, 1), MIN_ROWS), ((empty,),))

    def update(self, batch: Tensor) -> "Quantiles":
        """These values and those of a batch `[N, C, ...]`."""
        rows = as_rows(batch)
        if not len(rows):
            return self
        rows = rows.to("cpu", torch.float64 if rows.dtype == torch.float64 else torch.float32, copy=True)
        finite = bool(torch.stack(torch.aminmax(rows)).isfinite().all())  # NaN is passed on by both
        return self.merge(Quantiles(len(rows), self.capacity, ((rows,),), is_finite=finite))

    def merge(self, other: "Quantiles") -> "Quantiles":
        """These values and the other ones."""
        height = max(len(self.levels), len(other.levels))
        pairs = [(level_of(self, h), level_of(other, h)) for h in range(height)]
        levels, error = thinned([one + two for one, two in pairs], self.capacity, self.error + other.error)
        finite = self.is_finite and other.is_finite
        return Quantiles(self.count + other.count, self.capacity, levels, error, finite)

    def subtract(self, other: "Quantiles") -> "Quantiles":
        """Impossible: the values that were thinned out are not known any more. Raises `UsageError`."""
        raise UsageError(
            f"These {other.count:,} values cannot be taken out of quantiles again. For k folds measure each fold and "
            "merge the states of the other k − 1."
        )

    def pooled(self) -> "Quantiles":
        """All columns as one."""
        columns = self.levels[0][0].shape[1]
        levels = tuple(tuple(chunk.reshape(-1, 1) for chunk in level) for level in self.levels)
        return Quantiles(self.count * columns, self.capacity * columns, levels, self.error * columns, self.is_finite)

    def at(self, shares: Sequence[float]) -> Tensor:
        """`[len(shares), C]` float64: the quantiles, interpolated as numpy's "linear" does.

        Args:
            shares: of the values below, from 0 to 1.
        """
        if len(self.levels) == 1:
            return in_memory(torch.cat(self.levels[0]), shares)
        asked = torch.tensor(shares, dtype=torch.float64) * (self.count - 1)
        kept, num_columns = sum(len(chunk) for level in self.levels for chunk in level), self.levels[0][0].shape[1]
        size = max(BLOCK // kept, 1)
        groups = (self.weighted(slice(i, i + size)) for i in range(0, num_columns, size))
        return torch.cat([interpolated(values, weights, asked) for values, weights in groups], 1)

    def weighted(self, columns: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """`[n, C]` float64 values of some columns, and `[n]` how many each stands for."""
        weights = [torch.full((sum(map(len, level)),), 2.0**h) for h, level in enumerate(self.levels)]
        values = torch.cat([chunk[:, columns].double() for level in self.levels for chunk in level])
        return values, torch.cat(weights).double()

    @property
    def rank_error(self) -> float:
        """The largest possible error of a rank, as a share of the values."""
        return self.error / max(self.count, 1)


def interpolated(values: Tensor, weights: Tensor, asked: Tensor) -> Tensor:
    """`[S, C]`: what has the ranks `asked` among `[n, C]` values of which each stands for several."""
    values, order = values.T.contiguous().sort(1)
    centers = weights[order].cumsum(1) - (weights[order] + 1) / 2  # of the ranks that a value stands for
    asked = asked.expand(len(values), -1).contiguous()
    above = torch.searchsorted(centers, asked).clamp(0, values.shape[1] - 1)
    below = (above - 1).clamp(min=0)
    low, high = centers.gather(1, below), centers.gather(1, above)
    share = torch.where(high > low, (asked - low) / (high - low), 1.0).clamp(0, 1)
    return torch.lerp(values.gather(1, below), values.gather(1, above), share).T


def in_memory(values: Tensor, shares: Sequence[float]) -> Tensor:
    """The exact quantiles of `[n, C]`."""
    values = sorted_columns(values)
    places = torch.tensor(shares, dtype=torch.float64) * (values.shape[1] - 1)
    below = places.floor().long()
    above = (below + 1).clamp(max=values.shape[1] - 1)
    return torch.lerp(values[:, below].double(), values[:, above].double(), places - below).T


def sorted_columns(values: Tensor) -> Tensor:
    """`[n, C]` as `[C, n]`, each in rising order: on a CPU numpy is 16 times as quick at it as torch."""
    return torch.from_numpy(np.sort(values.T.contiguous().numpy(), axis=1))


def level_of(state: Quantiles, height: int) -> tuple[Tensor, ...]:
    return state.levels[height] if height < len(state.levels) else ()


def thinned(levels: list[tuple[Tensor, ...]], capacity: int, error: int) -> tuple[tuple[tuple[Tensor, ...], ...], int]:
    """The levels with no more than 2k rows in each, and the possible error of a rank after that."""
    height = 0
    while height < len(levels):
        if sum(map(len, levels[height])) > 2 * capacity:
            values = sorted_columns(torch.cat(levels[height]))
            even = values.shape[1] // 2 * 2
            odd_one = (error >> height) % 2
            if height + 1 == len(levels):
                levels.append(())
            levels[height + 1] += (values[:, odd_one:even:2].T.contiguous(),)
            levels[height] = (values[:, even:].T.contiguous(),)
            error += 2**height
        height += 1
    return tuple(levels), error

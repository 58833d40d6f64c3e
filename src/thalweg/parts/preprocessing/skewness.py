"""Moments up to the third per column: how skewed a column is, mergeable."""

from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.parts.preprocessing.modules.signed_log import signed_log

BLOCK = 2**17  # as for `Moments`


@dataclass(frozen=True, eq=False)
class Skewness:
    """Sums of the deviations' squares and cubes per column, in float64; states merge in any order, and subtract.

    Args:
        count: values per column.
        mean: `[C]` float64.
        m2: `[C]`: Σ (x − mean)².
        m3: `[C]`: Σ (x − mean)³.

    >>> state = Skewness.of(torch.tensor([[0.0], [0.0], [3.0]])).merge(Skewness.of(torch.tensor([[1.0]])))
    >>> round(state.skewness.item(), 4)
    0.8165

    Source: Pébay 2008, "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
    statistical moments".
    """

    count: int
    mean: Tensor
    m2: Tensor
    m3: Tensor

    @classmethod
    def empty(cls, num_columns: int) -> "Skewness":
        return cls(0, *torch.zeros(3, num_columns, dtype=torch.float64))

    @classmethod
    def of(cls, values: Tensor) -> "Skewness":
        """The state of `[N, C]` per column, or of `[N, C, ...]` per channel."""
        state = cls.empty(values.shape[1])
        flat = values.flatten(2) if values.ndim > 2 else values[:, :, None]
        for block in torch.split(flat, max(BLOCK // max(flat[:1].numel(), 1), 1)):
            if block.numel():
                deviation = block.double()
                mean = deviation.mean((0, 2))
                deviation = deviation - mean[:, None]
                square = deviation.square()
                sums = square.sum((0, 2)), square.mul_(deviation).sum((0, 2))
                state = state.merge(cls(block.shape[0] * block.shape[2], mean, *sums))
        return state

    def update(self, batch: Tensor) -> "Skewness":
        """These values and those of a batch."""
        return self.merge(Skewness.of(batch))

    def merge(self, other: "Skewness") -> "Skewness":
        """These values and the other ones."""
        count = self.count + other.count
        if count == 0:
            return self
        step = other.mean - self.mean
        squares, cubes = between(self, other)
        mean = self.mean + step * (other.count / count)
        return Skewness(count, mean, self.m2 + other.m2 + squares, self.m3 + other.m3 + cubes)

    def subtract(self, other: "Skewness") -> "Skewness":
        """These values without the other ones, which must be among them."""
        count = self.count - other.count
        if count == 0:
            return Skewness.empty(len(self.mean))
        mean = self.mean + (self.mean - other.mean) * (other.count / count)
        squares, _ = between(Skewness(count, mean, self.m2, self.m3), other)
        m2 = (self.m2 - other.m2 - squares).clamp(min=0)
        _, cubes = between(Skewness(count, mean, m2, self.m3), other)
        return Skewness(count, mean, m2, self.m3 - other.m3 - cubes)

    def pooled(self) -> "Skewness":
        """All columns as one."""
        mean = self.mean.mean()
        step = self.mean - mean
        m2 = (self.m2 + self.count * step.square()).sum()
        m3 = (self.m3 + 3 * step * self.m2 + self.count * step**3).sum()
        return Skewness(self.count * len(self.mean), mean[None], m2[None], m3[None])

    @property
    def skewness(self) -> Tensor:
        """`[C]`: the third standardized moment; 0 of a constant column. Of a normal distribution 0, exponential 2."""
        variance = self.m2 / max(self.count, 1)
        constant = variance <= (1e-14 * self.mean).square()
        return torch.where(constant, 0.0, self.m3 / max(self.count, 1) / variance.pow(1.5))

    @property
    def is_finite(self) -> bool:
        return bool(self.mean.isfinite().all() and self.m2.isfinite().all())


def between(one: Skewness, other: Skewness) -> tuple[Tensor, Tensor]:
    """What the distance of two means adds to the squares and to the cubes."""
    count, step = one.count + other.count, other.mean - one.mean
    squares = step.square() * (one.count * other.count / count)
    cubes = squares * step * ((one.count - other.count) / count)
    return squares, cubes + 3 * step * (one.count * other.m2 - other.count * one.m2) / count


@dataclass(frozen=True, eq=False)
class SkewnessAndLog:
    """How skewed columns are, and how skewed their signed logarithms."""

    plain: Skewness
    logged: Skewness
    unit: float

    @classmethod
    def empty(cls, num_columns: int, unit: float) -> "SkewnessAndLog":
        return cls(Skewness.empty(num_columns), Skewness.empty(num_columns), unit)

    def update(self, batch: Tensor) -> "SkewnessAndLog":
        """These values and those of a batch."""
        logged = self.logged.update(signed_log(batch.double(), self.unit))
        return SkewnessAndLog(self.plain.update(batch), logged, self.unit)

    def merge(self, other: "SkewnessAndLog") -> "SkewnessAndLog":
        """These values and the other ones."""
        return SkewnessAndLog(self.plain.merge(other.plain), self.logged.merge(other.logged), self.unit)

    def subtract(self, other: "SkewnessAndLog") -> "SkewnessAndLog":
        """These values without the other ones."""
        return SkewnessAndLog(self.plain.subtract(other.plain), self.logged.subtract(other.logged), self.unit)

    def pooled(self) -> "SkewnessAndLog":
        """All columns as one."""
        return SkewnessAndLog(self.plain.pooled(), self.logged.pooled(), self.unit)

    @property
    def count(self) -> int:
        """Values per column."""
        return self.plain.count

    @property
    def is_finite(self) -> bool:
        return self.plain.is_finite

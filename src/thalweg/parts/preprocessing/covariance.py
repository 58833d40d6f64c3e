"""Count, mean and the matrix of co-moments: the mergeable state of whitening (L13)."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Products of float32 take half the time, and leave a whitened covariance 1e-4 from the identity where the largest
# variance is 1e6 times the smallest; those of float64 2e-11.
BLOCK = 2**20  # values per matrix product in float64: 8 MiB
MIN_ROWS = 1024  # fewer leave the product slower than its own merge
STRIPS = 4  # of a product that is its own mirror image, of which 5/8 are computed: 1.3 times as quick at 784 columns
FEW_COLUMNS = 128  # below which a strip is too thin to gain


@dataclass(frozen=True, eq=False)
class Covariance:
    """Covariance of the columns of `[N, D]`, in float64; states merge in any order, and subtract.

    Args:
        count: rows.
        mean: `[D]` float64.
        m2: `[D, D]` float64: Σ (x − mean)(x − mean)ᵀ.

    >>> x = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0]])
    >>> state = Covariance.of(x[:1]).merge(Covariance.of(x[1:]))
    >>> torch.allclose(state.matrix, torch.cov(x.T.double(), correction=0))
    True
    >>> state.subtract(Covariance.of(x[2:])).matrix.tolist()
    [[1.0, 2.0], [2.0, 4.0]]

    Source: Chan, Golub and LeVeque 1979, for products instead of squares.
    """

    count: int
    mean: Tensor
    m2: Tensor

    @classmethod
    def empty(cls, num_columns: int) -> "Covariance":
        zeros = torch.zeros(num_columns, num_columns, dtype=torch.float64)
        return cls(0, zeros.new_zeros(num_columns), zeros)

    @classmethod
    def of(cls, values: Tensor) -> "Covariance":
        """The state of `[N, D]`, of any dtype."""
        state = cls.empty(values.shape[1])
        for block in torch.split(values, max(BLOCK // max(values.shape[1], 1), MIN_ROWS)):
            if len(block):
                deviation = block.to(torch.float64, copy=True)
                mean = deviation.mean(0)
                deviation -= mean
                state = state.merge(cls(len(block), mean, gram(deviation)))
        return state

    def update(self, batch: Tensor) -> "Covariance":
        """These rows and those of a batch."""
        return self.merge(Covariance.of(batch))

    def merge(self, other: "Covariance") -> "Covariance":
        """These rows and the other ones."""
        count = self.count + other.count
        if count == 0:
            return self
        step = other.mean - self.mean
        share = other.count / count
        m2 = self.m2 + other.m2 + torch.outer(step * (self.count * share), step)
        return Covariance(count, self.mean + step * share, m2)

    def subtract(self, other: "Covariance") -> "Covariance":
        """These rows without the other ones, which must be among them: serves k folds from one pass."""
        count = self.count - other.count
        if count == 0:
            return Covariance.empty(len(self.mean))
        mean = self.mean + (self.mean - other.mean) * (other.count / count)
        step = mean - other.mean
        m2 = self.m2 - other.m2 - torch.outer(step * (count * other.count / self.count), step)
        return Covariance(count, mean, m2)

    @property
    def matrix(self) -> Tensor:
        """`[D, D]`: the covariance, with N as in `Moments` (scikit-learn's PCA has N − 1)."""
        return self.m2 / max(self.count, 1)

    @property
    def is_finite(self) -> bool:
        return bool(self.mean.isfinite().all() and self.m2.isfinite().all())


def gram(x: Tensor) -> Tensor:
    """xᵀx, by its upper half."""
    if x.shape[1] < FEW_COLUMNS:
        return x.T @ x
    product = x.new_empty(x.shape[1], x.shape[1])
    size = -(-x.shape[1] // STRIPS)
    for start in range(0, x.shape[1], size):
        strip = slice(start, start + size)
        right = x[:, strip].T @ x[:, start:]
        product[strip, start:], product[start:, strip] = right, right.T
    return product

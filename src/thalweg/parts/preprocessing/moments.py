"""Count, mean and sum of squared deviations per column: one state for batches, workers, ranks and folds (L12)."""

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 2**17  # values that are converted to float64 at once: 1 MiB stays in the cache, which is twice as quick
JOINED = 256  # blocks whose moments are put together at once
FEW = 512  # rows that BLAS adds 1.4 times as quickly as `sum`, which is more exact where there are more
BYTES = 256  # rows of which float32 adds the squares exactly: 256 · 255² < 2²⁴


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of the values of each column or channel, in float64.

    States of disjoint rows merge exactly, in any order, and one can be taken out of another again. The deviations are
    taken from the mean before they are squared: E[x²] − E[x]² in float32 is off by 2× at an offset of 1,000. Bytes are
    counted in whole numbers, without any rounding.

    Args:
        count: values per column.
        mean: `[C]` float64.
        m2: `[C]` float64: the sum of squared deviations from the mean.

    >>> whole = Moments.empty(1).update(torch.tensor([[1.0], [2.0]])).update(torch.tensor([[3.0], [6.0]]))
    >>> whole.count, whole.mean.tolist(), whole.variance.tolist()
    (4, [3.0], [3.5])
    >>> whole.subtract(Moments.of(torch.tensor([[6.0]]))).mean.tolist()
    [2.0]

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
    """

    count: int
    mean: Tensor
    m2: Tensor

    @classmethod
    def empty(cls, num_columns: int) -> "Moments":
        return cls(0, torch.zeros(num_columns, dtype=torch.float64), torch.zeros(num_columns, dtype=torch.float64))

    @classmethod
    def of(cls, values: Tensor) -> "Moments":
        """The moments of `[N, C]` per column, or of `[N, C, ...]` per channel over rows and places; any dtype."""
        return cls.empty(values.shape[1]).update(values)

    def update(self, batch: Tensor) -> "Moments":
        """These values and those of a batch, as `of` takes them."""
        state = self
        flat = batch.flatten(2) if batch.ndim > 2 else batch
        rows = max(BLOCK // max(flat[:1].numel(), 1), 1)
        rows = -(-len(flat) // max(-(-len(flat) // rows), 1))  # blocks of one size
        moments_of = of_bytes if batch.dtype == torch.uint8 and batch.ndim == 2 else of_numbers
        buffer = torch.empty(min(rows, len(flat)), *flat.shape[1:], dtype=torch.float64)
        for blocks in torch.split(flat, rows * JOINED) if flat.numel() else ():
            state = joined([state, *(moments_of(block, buffer) for block in torch.split(blocks, rows))])
        return state

    def merge(self, other: "Moments") -> "Moments":
        """These values and the other ones."""
        return joined([self, other])

    def subtract(self, other: "Moments") -> "Moments":
        """These values without the other ones, which must be among them: serves k folds from one pass."""
        count = self.count - other.count
        if count == 0:
            return Moments.empty(len(self.mean))
        mean = self.mean + (self.mean - other.mean) * (other.count / count)
        between = (mean - other.mean).square() * (count * other.count / self.count)
        return Moments(count, mean, (self.m2 - other.m2 - between).clamp(min=0))

    def pooled(self) -> "Moments":
        """All columns as one."""
        mean = self.mean.mean()
        m2 = self.m2.sum() + (self.mean - mean).square().sum() * self.count
        return Moments(self.count * len(self.mean), mean[None], m2[None])

    @property
    def variance(self) -> Tensor:
        """`[C]`: M2 / n, as in scikit-learn's StandardScaler."""
        return self.m2 / max(self.count, 1)

    @property
    def std(self) -> Tensor:
        """`[C]`: √(M2 / n)."""
        return self.variance.sqrt()

    @property
    def is_finite(self) -> bool:
        return bool(self.mean.isfinite().all() and self.m2.isfinite().all())


def of_numbers(block: Tensor, buffer: Tensor) -> Moments:
    """Of `[n, C]` or `[n, C, L]`; the buffer is used again and again, because fresh memory takes half as long again."""
    deviation = buffer[: len(block)].copy_(block)
    if block.ndim == 3:
        mean = deviation.mean((0, 2))
        return Moments(block.shape[0] * block.shape[2], mean, deviation.sub_(mean[:, None]).square_().sum((0, 2)))
    if len(block) > FEW:
        mean = deviation.mean(0)
        return Moments(len(block), mean, deviation.sub_(mean).square_().sum(0))
    ones = deviation.new_ones(1, len(block))
    mean = (ones @ deviation)[0] / len(block)
    return Moments(len(block), mean, (ones @ deviation.sub_(mean).square_())[0])


def of_bytes(block: Tensor, _: Tensor) -> Moments:
    """Of bytes `[n, C]`: sums of whole numbers below 2²⁴, which float32 holds exactly; twice as quick."""
    total = torch.zeros(block.shape[1], dtype=torch.float64)
    squares = total.clone()
    for few in torch.split(block, BYTES):
        numbers = few.float()
        total += numbers.sum(0)
        squares += numbers.square_().sum(0)
    m2 = (len(block) * squares - total.square()) / len(block)  # whole numbers below 2⁵³ until the division
    return Moments(len(block), total / len(block), m2)


def joined(states: list[Moments]) -> Moments:
    """The merged state of several, in one go: M2 = Σ M2ᵢ + Σ nᵢ (meanᵢ − mean)²."""
    first, *others = [state for state in states if state.count] or states[:1]
    if not others:
        return first
    count = first.count + sum(state.count for state in others)
    shares = torch.tensor([[state.count / count for state in others]], dtype=torch.float64)
    steps = torch.stack([state.mean for state in others]).sub_(first.mean)  # of which the mean loses no digits
    step = (shares @ steps)[0]
    between = (shares @ steps.sub_(step).square_())[0].add_(step.square(), alpha=first.count / count)
    m2 = torch.stack([state.m2 for state in (first, *others)]).sum(0)
    return Moments(count, first.mean + step, m2.add_(between, alpha=count))

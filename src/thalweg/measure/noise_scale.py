"""How noisy the gradients of batches are: the batch size at which noise and gradient are of one size."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf, isfinite, sqrt

import torch
from torch import Tensor

from thalweg.readings import Reading

LEAST = 8  # batches: the noise of one batch alone varies sixfold
MOST_ENTRIES = 2**18  # of a parameter that are kept: every k-th of a larger one
STUDENT = 2.4  # added to 1.96 by 1 / (K − 1): Student's 95 % quantile to 1 %


@dataclass
class NoiseScale:
    """Collects the gradients of batches at one point, all of the same number of rows.

    With g_k the gradients of K batches of B of N rows, ḡ their mean and Σ the covariance of a row's gradient:

        tr Σ = B / (K − 1) · Σ_k |g_k − ḡ|²
        |G|² = |ḡ|² − tr Σ / (K B) · (1 − K B / N)            unbiased, the batches being parts of one pass
        noise.scale = tr Σ / |G|²                              rows of a batch whose noise is as large as its gradient

    Args:
        rows: B, of a batch.
        population: N, of the data that an epoch passes over; the batches must not overlap.

    >>> scale = NoiseScale(rows=2, population=16)
    >>> for value in (1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0, 3.0):
    ...     scale.add([torch.tensor([value])])
    >>> round(scale.readings()[0].value, 3)  # |G|² = 4, tr Σ = 2 · 8 / 7
    0.571

    Source: McCandlish et al. 2018, "An empirical model of large-batch training", appendix A; there for data without
    end, N = ∞.
    """

    rows: int
    population: int
    kept: list[Tensor] = field(default_factory=list)

    def add(self, gradients: Iterable[Tensor | None]) -> None:
        """The gradients of one batch, always of the same parameters."""
        self.kept.append(torch.cat([thinned(g) for g in gradients if g is not None]))

    def readings(self, step: int | None = None) -> list[Reading]:
        """`noise.scale` with a 95 % interval, its upper end infinite where the gradient is no larger than chance;
        `noise.rows`, B. Count is K. Nothing of too few batches, and where a gradient is not finite.
        """
        count = len(self.kept)
        if count < LEAST:
            return []
        total = torch.stack(self.kept).sum(0, dtype=torch.float64)
        squares = [float(g.double().square().sum()) for g in self.kept]  # synchronizes
        with_total = [float(g.double() @ total) for g in self.kept]
        of_total = float(total.square().sum())
        if not isfinite(of_total) or not all(map(isfinite, squares)):
            return []
        noise, square = self.estimates(count, sum(squares), of_total)
        parts = [  # with one batch left out
            self.estimates(count - 1, sum(squares) - own, of_total - 2 * inner + own)
            for own, inner in zip(squares, with_total, strict=True)
        ]
        quantile = 1.96 + STUDENT / (count - 1)
        noise_half, square_half = (quantile * jackknife([part[i] for part in parts]) for i in (0, 1))
        low = max(noise - noise_half, 0.0) / max(square + square_half, 1e-300)
        high = (noise + noise_half) / (square - square_half) if square > square_half else inf
        value = noise / square if square > 0 else inf
        return [
            Reading("noise.scale", value, "", step, low, high, count),
            Reading("noise.rows", self.rows, step=step, count=count),
        ]

    def estimates(self, count: int, squares: float, of_sum: float) -> tuple[float, float]:
        """tr Σ and |G|² from the sum of the squares of so many gradients, and the square of their sum."""
        noise = self.rows / (count - 1) * max(squares - of_sum / count, 0.0)
        seen = count * self.rows
        left = max(1 - seen / self.population, 0.0)
        return noise, of_sum / count**2 - noise / seen * left


def jackknife(values: list[float]) -> float:
    """Standard error of an estimate from those with one batch left out."""
    found = torch.tensor(values, dtype=torch.float64)
    count = len(found)
    return sqrt((count - 1) / count * float((found - found.mean()).square().sum()))


def thinned(gradient: Tensor) -> Tensor:
    """The entries of a gradient, of a large one every k-th, enlarged so that their squares add up to the same."""
    flat = (gradient.to_dense() if gradient.is_sparse else gradient).detach().reshape(-1).float()
    every = -(-flat.numel() // MOST_ENTRIES)
    if every <= 1:
        return flat.clone()
    some = flat[::every]
    return some * sqrt(flat.numel() / some.numel())

"""Subtract the mean, multiply by a matrix: principal components and whitening (L13)."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from thalweg.parts.preprocessing.modules.fitted import Fitted, halves


class Projection(Fitted):
    """y = (x − mean) · matrix for rows `[N, ...]` taken as flat, and its inverse x = y · back + mean.

    Mean and matrix are kept in two float32 numbers each: a matrix of one number would leave, at a ratio λ₁/λ_k of the
    variances, a correlation of 6e-8 · √(λ₁/λ_k) between the outputs. In float32 the first number of the matrix is used.

    Args:
        mean: `[D]`.
        matrix: `[D, K]`.
        back: `[K, D]`.
        rests: what float32 leaves of mean and matrix; None where they are float64 and hold it.
        shape: of a row of x.
        flat: whether a row of y is `[K]`; else it has the shape of x.
    """

    mean: Tensor
    mean_rest: Tensor
    matrix: Tensor
    matrix_rest: Tensor
    back: Tensor

    def __init__(
        self,
        mean: Tensor,
        matrix: Tensor,
        back: Tensor,
        *,
        shape: tuple[int, ...],
        flat: bool,
        mean_rest: Tensor | None = None,
        matrix_rest: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.flat = tuple(shape), flat
        for name, value, rest in (("mean", mean, mean_rest), ("matrix", matrix, matrix_rest)):
            whole, own_rest = halves(value)
            self.register_buffer(name, whole.contiguous())
            self.register_buffer(f"{name}_rest", own_rest.contiguous() if rest is None else rest.float())
        self.register_buffer("back", back.float().contiguous())

    def prepare(self, x: Tensor) -> Tensor:
        y = flattened(x) - self.mean.to(x.dtype)
        y = y.sub_(self.mean_rest.to(x.dtype)) @ self._matrix(x.dtype)
        return y if self.flat else y.reshape(x.shape)

    def undo(self, y: Tensor) -> Tensor:
        x = flattened(y) @ self.back.to(y.dtype)
        x = x.add_(self.mean_rest.to(y.dtype)).add_(self.mean.to(y.dtype))
        return x.reshape(len(x), *self.shape)

    def _matrix(self, dtype: torch.dtype) -> Tensor:
        matrix = self.matrix.to(dtype)
        return matrix + self.matrix_rest.to(dtype) if dtype == torch.float64 else matrix

    @property
    def form(self) -> dict[str, Any]:
        return super().form | {"shape": list(self.shape), "flat": self.flat}

    def told(self, names: tuple[str, ...] = ()) -> str:
        count = self.matrix.shape[1]
        what = "component" if count == 1 else "components"
        return f"{count:,} {what} of {prod(self.shape):,} columns" if self.flat else ""

    def extra_repr(self) -> str:
        return f"{self.matrix.shape[0]:,} -> {self.matrix.shape[1]:,}"


def flattened(values: Tensor) -> Tensor:
    """`[N, ...]` as `[N, D]`."""
    return values[:, None] if values.ndim == 1 else values.flatten(1)

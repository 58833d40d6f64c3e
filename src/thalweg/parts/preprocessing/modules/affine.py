"""Subtract an offset, divide by a scale; also of a regression target."""

from typing import Any

import torch
from torch import Tensor

from thalweg.data.rows import AnyRows
from thalweg.data.seal import require_training
from thalweg.errors import DataError
from thalweg.parts.preprocessing.modules.fitted import Fitted, halves
from thalweg.parts.preprocessing.moments import Moments


class Affine(Fitted):
    """y = (x − mean) / scale for one tensor, and its inverse.

    The mean is kept in two float32 numbers, `mean + rest`, which together have 48 bits: at an offset of 1e6 one number
    alone would be wrong by 3 % of a standard deviation of 1.

    Args:
        mean: broadcasts against a row of x.
        scale: the same, above 0.
        rest: what float32 leaves of the mean; None where `mean` is float64 and holds it.
        clip: the range that y is cut to; None does not cut.

    >>> affine = Affine(torch.tensor([2.0]), torch.tensor([0.5]))
    >>> affine(torch.tensor([[3.0]])), affine.inverse(torch.tensor([[2.0]]))
    (tensor([[2.]]), tensor([[3.]]))
    """

    mean: Tensor
    rest: Tensor
    scale: Tensor

    def __init__(
        self, mean: Tensor, scale: Tensor, *, rest: Tensor | None = None, clip: tuple[float, float] | None = None
    ) -> None:
        super().__init__()
        whole, own_rest = halves(mean)
        self.clip = None if clip is None else (float(clip[0]), float(clip[1]))
        self.register_buffer("mean", whole)
        self.register_buffer("rest", own_rest if rest is None else rest.float())
        self.register_buffer("scale", scale.float())

    def prepare(self, x: Tensor) -> Tensor:
        y = x - self.mean.to(x.dtype)  # before any cast to fewer bits
        y = y.sub_(self.rest.to(x.dtype)).div_(self.scale.to(x.dtype))
        return y if self.clip is None else y.clamp(*self.clip)

    def undo(self, y: Tensor) -> Tensor:
        x = y * self.scale.to(y.dtype)
        return x.add_(self.rest.to(y.dtype)).add_(self.mean.to(y.dtype))

    @property
    def form(self) -> dict[str, Any]:
        return super().form | ({} if self.clip is None else {"clip": list(self.clip)})

    def extra_repr(self) -> str:
        return "one mean and scale" if self.mean.numel() == 1 else f"{self.mean.numel():,} means and scales"


class TargetScale(Affine):
    """Standardizes a regression target: `forward` into the network's unit, `inverse` back into the target's.

    `[N]` has one mean and scale, `[N, T]` one per column. A constant target becomes 0.

    >>> from thalweg.data.rows import Rows
    >>> rows = Rows(torch.zeros(2, 1), torch.tensor([10.0, 30.0]), torch.arange(2), "train")
    >>> scale = TargetScale.fit(rows)
    >>> scale(rows.target), scale.inverse(torch.tensor([0.5]))
    (tensor([-1.,  1.]), tensor([25.]))
    """

    @staticmethod
    def fit(rows: AnyRows) -> "TargetScale":
        """Measures the targets of training rows.

        Raises:
            DataError: for validation or test rows, class indices, and targets that are not finite.
        """
        refuse_classes(rows)
        moments = Moments.of(rows.target.reshape(len(rows), -1))
        if not moments.is_finite:
            raise DataError("The target holds values that are not finite. Leave these rows out.")
        return TargetScale(*mean_and_scale(moments, rows.target.shape[1:]))


def refuse_classes(rows: AnyRows) -> None:
    """Raises `DataError` for rows that are no training rows, or whose target is no number."""
    require_training(rows, "The target's scale")
    if not rows.target.is_floating_point():
        raise DataError(f"Only a regression target is scaled; received {rows.target.dtype}, which holds classes.")


def mean_and_scale(moments: Moments, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation in the given shape, where what is constant has scale 1."""
    mean, std = moments.mean, moments.std
    constant = std <= 1e-14 * mean.abs()  # float64's own rounding, below which nothing was measured
    return mean.reshape(shape), torch.where(constant, 1.0, std).reshape(shape)

"""What several augmentations of sequences do to `[n, C, T]`: sums in a fixed order, and values between the steps."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def put(value: "np.ndarray[Any, Any]", x: Tensor, *, exact: bool = False) -> Tensor:
    """A parameter beside x: in the type of x, or where `exact` in float64."""
    return torch.from_numpy(value).to(torch.float64 if exact else x.dtype).to(x.device, non_blocking=True)


def total(x: Tensor) -> Tensor:
    """The sum over the last dimension, `[..., 1]`.

    Halves are added until one value is left: the order of the additions depends on the length alone, so that a sample
    has the same sum, bit by bit, in a batch of any size, with any number of threads and on any device.
    """
    while (size := x.shape[-1]) > 1:
        half = size // 2
        found = x[..., :half] + x[..., half : 2 * half]
        if size % 2:
            found[..., :1] += x[..., -1:]
        x = found
    return x


def mean(x: Tensor) -> Tensor:
    """Over the last dimension, `[..., 1]`."""
    return total(x) / x.shape[-1]


def deviation(x: Tensor) -> Tensor:
    """The standard deviation over the last dimension, `[..., 1]`: 0 of a constant."""
    centered = x - mean(x)
    return (total(centered * centered) / x.shape[-1]).sqrt()


def resampled(x: Tensor, position: Tensor) -> Tensor:
    """The sequences read between their steps, by linear interpolation; before the first step and after the last, these.

    Args:
        x: `[n, C, T]`.
        position: `[n, T']` float64, in steps of x; its memory is used.

    Returns:
        `[n, C, T']`. Products and sums are apart, as one rounding for both (`lerp`) would depend on the device.
    """
    position.clamp_(0, x.shape[2] - 1)
    index = position.long()
    weight = position.frac().to(x.dtype)[:, None]
    index = index[:, None].expand(-1, x.shape[1], -1)
    rise = torch.zeros_like(x)
    torch.sub(x[:, :, 1:], x[:, :, :-1], out=rise[:, :, :-1])
    return rise.gather(2, index).mul_(weight).add_(x.gather(2, index))

"""Channels stretched over the whole range of brightness (L32)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thalweg.parts.augmentations.augmentation import Pixelwise

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AutoContrast(Pixelwise):
    """x' = peak (x − min x) / (max x − min x) in each channel; one without contrast stays as it is.

    Args:
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> AutoContrast(p=1.0)(torch.tensor([[[0.25, 0.5, 0.75]]]))
    tensor([[[0.0000, 0.5000, 1.0000]]])

    Source: lecture row L32; Cubuk et al. 2019. As Pillow's `ImageOps.autocontrast`, which cuts off to whole numbers.
    """

    p: float = field(default=0.5, kw_only=True)

    def apply(self, x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
        return stretched(x, parameters, peak)


def stretched(x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
    """`[n, C, H, W]`, each channel from 0 to peak; changes x."""
    import torch

    flat = x.reshape(*x.shape[:2], -1)
    low, high = flat.amin(2)[..., None, None], flat.amax(2)[..., None, None]
    some = high > low
    scale = torch.where(some, peak / (high - low), 1.0)
    return x.sub_(torch.where(some, low, 0.0)).mul_(scale).clamp_(0, peak)

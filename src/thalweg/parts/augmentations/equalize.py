"""Histograms made flat (L32)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thalweg.parts.augmentations.augmentation import Pixelwise

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 256


@dataclass(frozen=True)
class Equalize(Pixelwise):
    """Each level of a channel becomes the share of its pixels that are darker.

        x'(v) = ⌊(⌊s / 2⌋ + n(< v)) / s⌋ peak / 255,   s = ⌊(N − n(= brightest)) / 255⌋

    with v the nearest of 256 levels to x; a channel with s = 0 stays as it is.

    Args:
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Equalize(p=1.0)(torch.arange(100, 116, dtype=torch.uint8).repeat(1, 32, 1)).flatten()[:16]
    tensor([  0.,  32.,  64.,  96., 128., 160., 192., 224., 255., 255., 255., 255., 255., 255., 255., 255.])

    Source: lecture row L32; Cubuk et al. 2019. As Pillow's `ImageOps.equalize`.
    """

    p: float = field(default=0.5, kw_only=True)

    def apply(self, x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
        return equalized(x, parameters, peak)


def equalized(x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
    """`[n, C, H, W]`, each channel by its own histogram."""
    import torch

    planes = x.shape[0] * x.shape[1]
    first = torch.arange(planes, device=x.device)[:, None] * LEVELS
    level = (x.reshape(planes, -1) * (255 / peak)).round_().clamp_(0, 255).long().add_(first).view(-1)
    # Counts as floats are exact to 2²⁴ pixels, and take half the time of `bincount`.
    counts = x.new_zeros(planes * LEVELS).scatter_add_(0, level, x.new_ones(1).expand(len(level)))
    counts = counts.view(planes, LEVELS).double()  # whose quotients round down as those of integers, in less time
    levels = torch.arange(LEVELS, device=x.device, dtype=counts.dtype)
    brightest = ((counts > 0) * levels).amax(1, keepdim=True)
    step = ((counts.sum(1, keepdim=True) - counts.gather(1, brightest.long())) / 255).floor_()
    darker = counts.cumsum(1).sub_(counts)
    spread = (darker.add_((step / 2).floor_()) / step.clamp(min=1)).floor_().clamp_(max=255)
    table = torch.where(step > 0, spread, levels)
    return table.to(x.dtype).mul_(peak / 255).view(-1).index_select(0, level).view_as(x)

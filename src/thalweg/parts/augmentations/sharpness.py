"""Images made sharper or softer (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.parts.augmentations.augmentation import Pixelwise
from thalweg.parts.augmentations.by_factor import ByFactor

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sharpness(ByFactor, Pixelwise):
    """x' = f x + (1 − f) K ∗ x, limited to the range of brightness; border pixels stay.

        K = (1 1 1; 1 5 1; 1 1 1) / 13,   f uniform from max(0, 1 − strength) to 1 + strength

    Args:
        strength: at least 0; f = 0 smooths, f = 1 leaves the image as it is, f = 2 sharpens.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Sharpness(1.0)(torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0]]]), ids=[0])
    tensor([[[0.0000, 0.0000, 0.0000],
             [0.0000, 0.6670, 0.0000],
             [0.0000, 0.0000, 0.0000]]])

    Source: lecture row L32; Cubuk et al. 2019. As Pillow's `ImageEnhance.Sharpness` without its rounding.
    """

    strength: float = 0.9

    def apply(self, x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
        return sharpened(x, parameters, peak)


def sharpened(x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
    """`[n, C, H, W]` sharpened by "factor" `[n]`; changes x. Images of fewer than 3 pixels a side are all border."""
    if min(x.shape[2:]) < 3:
        return x
    sums = (x[..., :-2] + x[..., 1:-1]).add_(x[..., 2:])
    sums = (sums[:, :, :-2] + sums[:, :, 1:-1]).add_(sums[:, :, 2:])
    excess = (parameters["factor"] - 1)[:, None, None, None] / 13
    # K ∗ x = (sums + 4 x) / 13, and f x + (1 − f) (sums + 4 x) / 13 = (1 + 9 (f − 1) / 13) x − (f − 1) / 13 sums.
    inner = x[:, :, 1:-1, 1:-1]
    inner.mul_(1 + 9 * excess).sub_(sums.mul_(excess)).clamp_(0, peak)
    return x

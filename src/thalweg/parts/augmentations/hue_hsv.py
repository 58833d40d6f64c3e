"""The hue of HSV turned (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.parts.augmentations.augmentation import Pixelwise
from thalweg.parts.augmentations.by_turns import ByTurns

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class HueHSV(ByTurns, Pixelwise):
    """H' = (H + t) mod 1 with S and V of HSV kept, t uniform from −turns to turns. Luma changes with it.

    With V and V − V S the largest and the smallest of red, green and blue and h = 6 H',

        (R, G, B) = V − V S + V S clip((|h − 3| − 1, 2 − |h − 2|, 2 − |h − 4|), 0, 1)

    Args:
        turns: from 0 to 0.5; of images of one channel it has no effect.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    Raises:
        DataError: for images of two or more than three channels, which have no hue.

    >>> import torch
    >>> HueHSV(0.1)(torch.tensor([0.6, 0.5, 0.4]).view(1, 3, 1, 1), ids=[0]).flatten()
    tensor([0.6000, 0.5651, 0.4000])

    Source: lecture row L32; Smith 1978, "Color gamut transform pairs". As torchvision's `ColorJitter(hue=)`.
    """

    def apply(self, x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
        return x if x.shape[1] == 1 or not self.turns else hue_turned(x, parameters["turns"])


def hue_turned(x: "Tensor", turns: "Tensor") -> "Tensor":
    """`[n, 3, H, W]` with the hue of HSV turned by `[n]`."""
    import torch

    red, green, blue = x.unbind(1)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = high - low
    # Colors without chroma have no hue, and below its product with chroma is 0 whatever it is.
    scale = chroma.clamp(min=1e-30).reciprocal_()
    is_red, is_green = (torch.eq(high, own, out=torch.empty_like(high)) for own in (red, green))
    # `lerp` by 0 or 1 chooses exactly, in a tenth of the time of `where`, which goes pixel by pixel.
    hue = ((red - green).mul_(scale).add_(4)).lerp_((blue - red).mul_(scale).add_(2), is_green)
    hue.lerp_((green - blue).mul_(scale), is_red).add_(6 * turns[:, None, None])
    hue.sub_((hue / 6).floor_().mul_(6))
    for place, (center, sign, offset) in enumerate(((3, 1, -1), (2, -1, 2), (4, -1, 2))):
        share = (hue - center).abs_().mul_(sign).add_(offset).clamp_(0, 1)
        torch.addcmul(low, share, chroma, out=x[:, place])
    return x

"""Fewer levels of brightness (L32)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Pixelwise, Shape
from thalweg.parts.augmentations.draws import Floats, integers

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Posterize(Pixelwise):
    """Keeps the highest bits of 8: x' = s ⌊v / s⌋ peak / 255, v the nearest of 256 levels to x, s = 2^(8 − bits).

    Args:
        bits: from 1 to 8, or (low, high) to draw them from, both among them.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Posterize(1, p=1.0)(torch.tensor([[[10, 127, 128, 255]]], dtype=torch.uint8))
    tensor([[[  0.,   0., 128., 128.]]])

    Source: lecture row L32; Cubuk et al. 2019. As Pillow's `ImageOps.posterize`.
    """

    bits: int | tuple[int, int] = 4
    p: float = field(default=0.5, kw_only=True)
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.bits if isinstance(self.bits, tuple | list) else (self.bits, self.bits)
        whole = len(given) == 2 and all(isinstance(v, int) and not isinstance(v, bool) for v in given)
        due = "an integer from 1 to 8, or (low, high) of such, low first"
        self._check("bits", whole and 1 <= given[0] <= given[1] <= 8, due)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        low, high = (self.bits, self.bits) if isinstance(self.bits, int) else self.bits
        return {"bits": (low + integers(u[0], high - low + 1)).astype(np.int64)}

    def apply(self, x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
        return posterized(x, parameters, peak)


def posterized(x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
    """`[n, C, H, W]` with "bits" `[n]` of their levels; changes x."""
    step = x.new_tensor(2.0 ** (8 - parameters["bits"]))[:, None, None, None]
    return x.mul_(255 / peak / step).add_(0.5 / step).floor_().mul_(step * (peak / 255))

"""One random operation of random strength (L32)."""

from dataclasses import dataclass
from typing import ClassVar

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats, integers
from thalweg.parts.augmentations.operations import OPERATIONS, Operations

BINS = 31
FACTORS = ("ShearX", "ShearY", "Brightness", "Color", "Contrast", "Sharpness")
RANGES = {**dict.fromkeys(FACTORS, 0.99), "TranslateX": 32.0, "TranslateY": 32.0, "Rotate": 135.0}


@dataclass(frozen=True)
class TrivialAugment(Operations):
    """Each sample goes through one of fourteen operations with a magnitude m of 30, both uniform; nothing to tune.

    Identity; shears by ±0.99 m/30; shifts by ±32 m/30 whole pixels; turns by ±135 m/30 degrees; brightness, color,
    contrast and sharpness by factors 1 ± 0.99 m/30; posterize to 8 − ⌊6 m/30⌉ bits; solarize from 1 − m/30 of the
    brightest value; auto-contrast; equalize.

    Args:
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.
        fill: what lies outside: a share of the brightest value, "edge" or "reflect".
        interpolation: "bilinear", "bicubic" or "nearest".

    >>> from thalweg.parts.augmentations import Compose
    >>> print(Compose(TrivialAugment()).draw([2], shape=(3, 32, 32)))
    TrivialAugment  sample 2: operation=[Posterize] magnitude=[5]

    Source: lecture row L32; Müller and Hutter 2021, "TrivialAugment: Tuning-free yet state-of-the-art data
    augmentation". As torchvision's `TrivialAugmentWide`, which takes the nearest pixel instead of an interpolation.
    """

    num_draws: ClassVar[int] = 3

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        share = integers(u[1:2], BINS) / (BINS - 1)
        return self.drawn(integers(u[:1], len(OPERATIONS)), share, u[2:3] < 0.5, RANGES, 2)

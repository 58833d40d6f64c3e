"""A few random operations of one strength (L32)."""

from dataclasses import dataclass

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats, integers
from thalweg.parts.augmentations.operations import OPERATIONS, Operations

BINS = 31  # magnitudes 0, …, 30


@dataclass(frozen=True)
class RandAugment(Operations):
    """Each sample goes through `num_ops` operations, each one of fourteen with a magnitude m of 30.

    Identity; shears by ±0.3 m/30; shifts by ±150/331 m/30 of width or height, whole pixels; turns by ±30 m/30 degrees;
    brightness, color, contrast and sharpness by factors 1 ± 0.9 m/30; posterize to 8 − ⌊4 m/30⌉ bits; solarize from
    1 − m/30 of the brightest value; auto-contrast; equalize.

    Args:
        num_ops: operations one after the other, at least 1.
        magnitude: m, from 0 to 30.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.
        fill: what lies outside: a share of the brightest value, "edge" or "reflect".
        interpolation: "bilinear", "bicubic" or "nearest".

    >>> from thalweg.parts.augmentations import Compose
    >>> print(Compose(RandAugment()).draw([3], shape=(3, 32, 32)))
    RandAugment  sample 3: operation=[AutoContrast, Sharpness] magnitude=[0, -0.27]

    Source: lecture row L32; Cubuk et al. 2019, "RandAugment: Practical automated data augmentation with a reduced
    search space". As torchvision's `RandAugment`, which takes the nearest pixel instead of an interpolation and rounds
    to whole numbers after each operation.
    """

    num_ops: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_count("num_ops")
        good = isinstance(self.magnitude, int) and not isinstance(self.magnitude, bool) and 0 <= self.magnitude < BINS
        self._check("magnitude", good, f"an integer from 0 to {BINS - 1}")

    @property
    def num_draws(self) -> int:  # type: ignore[override]
        """An operation and a sign for each."""
        return 2 * self.num_ops

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        operation = integers(u[: self.num_ops], len(OPERATIONS))
        share = np.full(operation.shape, self.magnitude / (BINS - 1))
        return self.drawn(operation, share, u[self.num_ops :] < 0.5, ranges(shape), 4)


def ranges(shape: Shape) -> dict[str, float]:
    """The largest magnitudes."""
    moves = {"TranslateX": 150 / 331 * shape[2], "TranslateY": 150 / 331 * shape[1], "Rotate": 30.0}
    factors = dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), 0.9)
    return {"ShearX": 0.3, "ShearY": 0.3, **moves, **factors}

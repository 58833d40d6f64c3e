"""The fourteen operations of RandAugment and TrivialAugment, each sample with its own (L32)."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.parts.augmentations.affine import affine_matrix
from thalweg.parts.augmentations.augmentation import FILLS, INTERPOLATIONS, Drawn, ImageAugmentation, Shape, is_number
from thalweg.parts.augmentations.auto_contrast import stretched
from thalweg.parts.augmentations.draws import Floats
from thalweg.parts.augmentations.equalize import equalized
from thalweg.parts.augmentations.posterize import posterized
from thalweg.parts.augmentations.sharpness import sharpened
from thalweg.parts.augmentations.solarize import solarized
from thalweg.parts.augmentations.stages import Color, Pixels, Stage, Warp

Names = NDArray[np.str_]
MOVES = ("TranslateX", "TranslateY")  # exact, and so apart from the interpolations
TURNS = ("ShearX", "ShearY", "Rotate")
COLORS = ("Brightness", "Color", "Contrast")
FUNCTIONS = {
    "Sharpness": sharpened,
    "Posterize": posterized,
    "Solarize": solarized,
    "AutoContrast": stretched,
    "Equalize": equalized,
}
OPERATIONS = np.array(["Identity", *TURNS, *MOVES, *COLORS, *FUNCTIONS])
SIGNED = np.isin(OPERATIONS, [*TURNS, *MOVES, *COLORS, "Sharpness"])


@dataclass(frozen=True)
class Operations(ImageAugmentation):
    """One or more rounds, in each of which every sample has one operation of a magnitude of its own.

    A round is one interpolation for all samples that it turns or shears, one copy for all that it shifts, one matrix
    product for all that change color, and one call for each of the other operations.

    Args:
        fill: what lies outside: a share of the brightest value, "edge" or "reflect".
        interpolation: "bilinear", "bicubic" or "nearest".
    """

    fill: float | str = field(default=0.0, kw_only=True)
    interpolation: str = field(default="bilinear", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        good = self.fill in FILLS or (is_number(self.fill) and 0 <= float(self.fill) <= 1)
        self._check("fill", good, "a share of the brightest value from 0 to 1, 'edge' or 'reflect'")
        self._check("interpolation", self.interpolation in INTERPOLATIONS, ", ".join(map(repr, INTERPOLATIONS)))

    def drawn(self, operation: Any, share: Any, negative: Any, ranges: dict[str, float], least_bits: int) -> Drawn:
        """Names and magnitudes `[B, rounds]`.

        Args:
            operation: `[rounds, B]`, numbers from 0 to 13.
            share: of the largest magnitude, from 0 to 1.
            negative: `[rounds, B]`, which operations go the other way, where there is one.
            ranges: the largest magnitudes by operation.
            least_bits: of Posterize at its largest.
        """
        name = OPERATIONS[operation.astype(np.int64)]
        most = np.zeros(name.shape)
        for key, value in ranges.items():
            most[name == key] = value
        value = most * share * np.where(negative & SIGNED[operation.astype(np.int64)], -1.0, 1.0)
        value = np.where(name == "Posterize", 8 - np.rint(share * (8 - least_bits)), value)
        value = np.where(name == "Solarize", 1 - share, value)
        value = np.where((name == "TranslateX") | (name == "TranslateY"), np.trunc(value), value)
        return {"operation": name.T, "magnitude": value.T}

    def stages(self, drawn: Drawn, shape: Shape) -> list[Stage]:
        found: list[Stage] = []
        for names, values in zip(drawn["operation"].T, drawn["magnitude"].T, strict=True):
            found += self.round(np.where(drawn["applied"], names, "Identity"), values, shape)
        return found

    def round(self, names: Names, values: Floats, shape: Shape) -> list[Stage]:
        """The stages of the samples that these operations act on; each sample is in one of them."""
        found: list[Stage] = []
        for group in (TURNS, MOVES):
            rows = np.flatnonzero(np.isin(names, group))
            if len(rows):
                matrix = matrices(names[rows], values[rows], shape)
                found.append(Warp(matrix, (shape[1], shape[2]), self.fill, self.interpolation, rows))
        rows = np.flatnonzero(np.isin(names, COLORS))
        if len(rows):
            found.append(colors(names[rows], values[rows], rows))
        for name, function in FUNCTIONS.items():
            rows = np.flatnonzero(names == name)
            if len(rows):
                found.append(Pixels(function, parameters_of(name, values[rows]), rows))
        return found


def parameters_of(name: str, values: Floats) -> dict[str, Any]:
    """Of the functions of `FUNCTIONS`."""
    if name == "Sharpness":
        return {"factor": 1 + values}
    if name == "Posterize":
        return {"bits": values.astype(np.int64)}
    return {"threshold": values} if name == "Solarize" else {}


def matrices(names: Names, values: Floats, shape: Shape) -> Floats:
    """`[n, 3, 3]` from the output's pixels to the input's; shears are about the upper left corner."""
    found = affine_matrix(
        shape,
        angle=np.where(names == "Rotate", -values, 0.0),
        dx=np.where(names == "TranslateX", values, 0.0),
        dy=np.where(names == "TranslateY", values, 0.0),
    )
    for name, row, column in (("ShearX", 0, 1), ("ShearY", 1, 0)):
        chosen = names == name
        found[chosen, row, column] = values[chosen]
        found[chosen, row, 2] = values[chosen] / 2  # the corner lies half a pixel before the first pixel's center
    return found


def colors(names: Names, values: Floats, rows: Any) -> Color:
    factor, one = 1 + values, np.ones(len(values))
    luma = np.where(names == "Color", one, factor)
    mean = np.where(names == "Contrast", -values, 0.0)
    return Color.of(len(values), luma=luma, mean=mean, chroma=factor, rows=rows)

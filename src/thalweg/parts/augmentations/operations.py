"""The fourteen operations of RandAugment and TrivialAugment, each sample with its own (L32)."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalweg.parts.augmentations.affine import affine_matrix
from thalweg.parts.augmentations.augmentation import FILLS, INTERPOLATIONS, Drawn, ImageAugmentation, Shape, is_number
from thalweg.parts.augmentations.auto_contrast import stretched
from thalweg.parts.augmentations.draws import Floats, Integers
from thalweg.parts.augmentations.equalize import equalized
from thalweg.parts.augmentations.posterize import posterized
from thalweg.parts.augmentations.sharpness import sharpened
from thalweg.parts.augmentations.solarize import solarized
from thalweg.parts.augmentations.stages import Color, Pixels, Stage, Warp

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
GROUPS = (TURNS, MOVES, COLORS, *((name,) for name in FUNCTIONS))
OPERATIONS = np.sort(np.array(["Identity", *(name for group in GROUPS for name in group)]))  # sorted, to be searched
NUMBER = {str(name): number for number, name in enumerate(OPERATIONS)}
GROUP = np.array([next((i for i, group in enumerate(GROUPS) if name in group), -1) for name in OPERATIONS])
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
        number = operation.astype(np.int64)
        most = np.array([ranges.get(str(name), 0.0) for name in OPERATIONS])
        value = most[number] * share * np.where(negative & SIGNED[number], -1.0, 1.0)
        value = np.where(number == NUMBER["Posterize"], 8 - np.rint(share * (8 - least_bits)), value)
        value = np.where(number == NUMBER["Solarize"], 1 - share, value)
        value = np.where(GROUP[number] == GROUPS.index(MOVES), np.trunc(value), value)
        return {"operation": OPERATIONS[number].T, "magnitude": value.T}

    def stages(self, drawn: Drawn, shape: Shape) -> list[Stage]:
        found: list[Stage] = []
        for names, values in zip(drawn["operation"].T, drawn["magnitude"].T, strict=True):
            number = np.searchsorted(OPERATIONS, names)
            found += self.round(np.where(drawn["applied"], number, NUMBER["Identity"]), values, shape)
        return found

    def round(self, number: Integers, values: Floats, shape: Shape) -> list[Stage]:
        """The stages of the samples that these operations act on; each sample is in one of them."""
        found: list[Stage] = []
        group = GROUP[number]
        group = np.where((values == 0) & (group < GROUPS.index(COLORS)), -1, group)  # what stays where it is
        for i in np.unique(group[group >= 0]):
            rows = np.flatnonzero(group == i)
            own, strength = number[rows], values[rows]
            if GROUPS[i] in (TURNS, MOVES):
                matrix = (turns if GROUPS[i] is TURNS else moves)(own, strength, shape)
                found.append(Warp(matrix, (shape[1], shape[2]), self.fill, self.interpolation, rows))
            elif GROUPS[i] is COLORS:
                found.append(colors(own, strength, rows))
            else:
                (name,) = GROUPS[i]
                found.append(Pixels(FUNCTIONS[name], parameters_of(name, strength), rows))
        return found


def parameters_of(name: str, values: Floats) -> dict[str, Any]:
    """Of the functions of `FUNCTIONS`."""
    if name == "Sharpness":
        return {"factor": 1 + values}
    if name == "Posterize":
        return {"bits": values.astype(np.int64)}
    return {"threshold": values} if name == "Solarize" else {}


def turns(number: Integers, values: Floats, shape: Shape) -> Floats:
    """`[n, 3, 3]` from the output's pixels to the input's; shears are about the upper left corner."""
    found = affine_matrix(shape, angle=np.where(number == NUMBER["Rotate"], -values, 0.0))
    for name, row, column in (("ShearX", 0, 1), ("ShearY", 1, 0)):
        chosen = number == NUMBER[name]
        found[chosen, row, column] = values[chosen]
        found[chosen, row, 2] = values[chosen] / 2  # the corner lies half a pixel before the first pixel's center
    return found


def moves(number: Integers, values: Floats, shape: Shape) -> Floats:
    """`[n, 3, 3]` from the output's pixels to the input's."""
    found = np.tile(np.eye(3), (len(values), 1, 1))
    for name, row in (("TranslateX", 0), ("TranslateY", 1)):
        found[:, row, 2] = np.where(number == NUMBER[name], -values, 0.0)
    return found


def colors(number: Integers, values: Floats, rows: Integers) -> Color:
    factor, one = 1 + values, np.ones(len(values))
    luma = np.where(number == NUMBER["Color"], one, factor)
    mean = np.where(number == NUMBER["Contrast"], -values, 0.0)
    return Color.of(len(values), luma=luma, mean=mean, chroma=factor, rows=rows)

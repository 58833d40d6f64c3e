"""What the parts of an image augmentation come to, sample by sample: warps and colors, which merge, and the rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from thalweg.parts.augmentations.draws import Floats, Integers

if TYPE_CHECKING:
    from torch import Tensor

INTEGRAL = 1e-9  # of a matrix: nearer than this to whole numbers it moves pixels to pixels


@dataclass(frozen=True, eq=False)
class Warp:
    """Where each output pixel comes from: (x, y, 1)ᵀ of the input ∝ M (x, y, 1)ᵀ of the output, in pixel numbers.

    Args:
        matrix: `[B, 3, 3]`, from output to input.
        size: `(height, width)` of the output.
        fill: what lies outside: a number in units of the brightest value, "edge" or "reflect".
        interpolation: "bilinear", "bicubic" or "nearest".
        rows: the samples that it concerns, ascending, `[B]` then being their number; None for all.
        permutes: whether, whatever was drawn, it only puts the pixels in another order, as flips do.
    """

    matrix: Floats
    size: tuple[int, int]
    fill: float | str = 0.0
    interpolation: str = "bilinear"
    rows: Integers | None = None
    permutes: bool = False

    def then(self, later: "Stage") -> "Warp | None":
        """Both as one; None where they differ in what lies outside, or in the interpolation, and both need it."""
        if not isinstance(later, Warp) or self.rows is not None or later.rows is not None:
            return None
        kept = later if self.permutes else self if later.permutes else None
        if (self.fill, self.interpolation) == (later.fill, later.interpolation):
            kept = later
        if kept is None:
            return None
        both = self.permutes and later.permutes
        return replace(kept, matrix=self.matrix @ later.matrix, size=later.size, permutes=both)

    @property
    def exact(self) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """`[B]`, whether each output pixel is one input pixel, as under flips, quarter turns and whole shifts."""
        flat = self.matrix.reshape(-1, 9)
        whole = (np.abs(flat - np.rint(flat)) < INTEGRAL).all(1)
        a, b, _, c, d, _, e, f, g = np.abs(flat).T
        turn = (a + c < 1 + INTEGRAL) & (b + d < 1 + INTEGRAL)
        return np.asarray(whole & turn & (e + f < INTEGRAL) & (np.abs(g - 1) < INTEGRAL))

    @property
    def minification(self) -> Floats:
        """`[B]`, how many input pixels come to an output pixel, along a side, in the middle of the image."""
        x, y = (self.size[1] - 1) / 2, (self.size[0] - 1) / 2
        a, b, c, d, e, f, g, h, i = self.matrix.reshape(-1, 9).T
        area = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
        return np.asarray(np.sqrt(np.abs(area / (g * x + h * y + i) ** 3)))


@dataclass(frozen=True, eq=False)
class Color:
    """A linear change of color: luma and chroma scaled, hue turned, the mean luma and a constant added.

        Y' = g Y + h E[Y] + o          (I', Q') = k R(θ) (I, Q)

    with Y, I, Q of Rec. 601 for three channels; of another number Y is the mean over the channels and there is no hue.
    Brightness, contrast, saturation, hue, grayscale and inversion are all of this form, and so is what several of them
    do one after the other.

    Args:
        luma: g `[B]`.
        mean: h `[B]`.
        offset: o `[B]`, in units of the brightest value.
        chroma: k `[B]`.
        hue: θ `[B]`, radians.
        rows: the samples that it concerns, ascending; None for all.
    """

    luma: Floats
    mean: Floats
    offset: Floats
    chroma: Floats
    hue: Floats
    rows: Integers | None = None

    FIELDS: ClassVar[tuple[str, ...]] = ("luma", "mean", "offset", "chroma", "hue")

    @staticmethod
    def of(count: int, **changed: Any) -> "Color":
        """What leaves all as it is, but for what is given."""
        one, zero = np.ones(count), np.zeros(count)
        return replace(Color(one, zero, zero, one, zero), **changed)

    def then(self, later: "Stage") -> "Color | None":
        """Both as one: Y'' = g' Y' + h' E[Y'] + o' with E[Y'] = (g + h) E[Y] + o."""
        if not isinstance(later, Color) or self.rows is not None or later.rows is not None:
            return None
        return Color(
            later.luma * self.luma,
            later.luma * self.mean + later.mean * (self.luma + self.mean),
            (later.luma + later.mean) * self.offset + later.offset,
            later.chroma * self.chroma,
            later.hue + self.hue,
        )


@dataclass(frozen=True, eq=False)
class Pixels:
    """Anything else.

    Args:
        function: `(x [n, C, H, W] float, parameters, brightest value) -> x` of the same shape.
        parameters: of the samples that it concerns.
        rows: these samples, ascending; None for all.
    """

    function: "Callable[[Tensor, dict[str, Any], float], Tensor]"
    parameters: dict[str, Any] = field(default_factory=dict)
    rows: Integers | None = None

    def then(self, later: "Stage") -> None:
        """Nothing merges with it."""


Stage = Warp | Color | Pixels


def merged(stages: Sequence[Stage]) -> list[Stage]:
    """The stages with neighboring warps as one and neighboring colors as one.

    Colors between two warps go before the one warp that these become: a linear change of color and an interpolation may
    change places, but for what lies outside the image.
    """
    found: list[Stage] = []
    for stage in stages:
        push(found, stage)
    return found


def push(found: list[Stage], stage: Stage) -> None:
    both: Stage | None
    if found and (both := found[-1].then(stage)) is not None:
        found[-1] = both
    elif len(found) > 1 and isinstance(found[-1], Color) and (both := found[-2].then(stage)) is not None:
        color = found.pop()
        found.pop()
        push(found, color)
        found.append(both)
    else:
        found.append(stage)

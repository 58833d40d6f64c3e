"""Images turned, moved, scaled and sheared (L32)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Geometric, Shape, is_number
from thalweg.parts.augmentations.draws import Floats, between

Degrees = float | tuple[float, float]


@dataclass(frozen=True)
class Affine(Geometric):
    """Turns, shears and scales an image about its center, and moves it.

        forward:  p' = c + t + s R(a) K (p − c),   K the shears along x by φ_x and along y by φ_y

    with the signs of torchvision's `affine`: a > 0 turns clockwise.

    Args:
        rotate: degrees, a number for −r to r, or (low, high).
        translate: largest shift as shares of width and height, both from 0 to 1.
        scale: (low, high), above 0; 2 shows things twice as large.
        shear: degrees along x, as `rotate`.
        shear_y: degrees along y, as `rotate`.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.
        fill: what lies outside: a share of the brightest value, "edge" or "reflect".
        interpolation: "bilinear", "bicubic" or "nearest".

    >>> import torch
    >>> Affine(rotate=(90, 90))(torch.tensor([[[1.0, 0.0], [0.5, 0.0]]]))
    tensor([[[0.5000, 1.0000],
             [0.0000, 0.0000]]])

    Source: lecture row L32. As torchvision's `RandomAffine`.
    """

    rotate: Degrees = 0.0
    translate: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    shear: Degrees = 0.0
    shear_y: Degrees = 0.0
    num_draws: ClassVar[int] = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rotate", "shear", "shear_y"):
            self._require_span(name, 360.0 if name == "rotate" else 89.0)
        self._check(
            "translate",
            isinstance(self.translate, tuple | list)
            and len(self.translate) == 2
            and all(is_number(v) and 0 <= v <= 1 for v in self.translate),
            "two shares from 0 to 1, of width and height",
        )
        self._require_range("scale", 1e-3)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        _, height, width = shape
        return {
            "angle": between(u[0], *span(self.rotate)),
            "dx": np.rint(between(u[1], -1, 1) * self.translate[0] * width),
            "dy": np.rint(between(u[2], -1, 1) * self.translate[1] * height),
            "scale": between(u[3], *self.scale),
            "shear": between(u[4], *span(self.shear)),
            "shear_y": between(u[5], *span(self.shear_y)),
        }

    def matrix(self, drawn: Drawn, shape: Shape) -> Floats:
        return affine_matrix(shape, **{name: value for name, value in drawn.items() if name != "applied"})


def span(value: Degrees) -> tuple[float, float]:
    """(low, high) of what may be a number for −value to value."""
    return (-value, value) if isinstance(value, int | float) else (value[0], value[1])


def affine_matrix(
    shape: Shape,
    *,
    angle: Floats | float = 0.0,
    dx: Floats | float = 0.0,
    dy: Floats | float = 0.0,
    scale: Floats | float = 1.0,
    shear: Floats | float = 0.0,
    shear_y: Floats | float = 0.0,
) -> Floats:
    """`[B, 3, 3]` from the output's pixels to the input's: the inverse of the map that `Affine` describes.

    Args:
        shape: `(C, H, W)`.
        angle: degrees, clockwise; `[B]` or one for all, as the others.
        dx: pixels to the right.
        dy: pixels down.
        scale: factor.
        shear: degrees along x.
        shear_y: degrees along y.
    """
    turned, slanted, slanted_y = (np.deg2rad(value) for value in (angle, shear, shear_y))
    a = np.cos(turned - slanted_y) / np.cos(slanted_y)
    b = -a * np.tan(slanted) - np.sin(turned)
    c = np.sin(turned - slanted_y) / np.cos(slanted_y)
    d = -c * np.tan(slanted) + np.cos(turned)
    # Its determinant is 1 and its inverse therefore (d, −b; −c, a).
    m00, m01, m10, m11 = (np.asarray(value / scale) for value in (d, -b, -c, a))
    x, y = (shape[2] - 1) / 2, (shape[1] - 1) / 2
    right, down = np.asarray(dx) + x, np.asarray(dy) + y
    rows = m00, m01, x - m00 * right - m01 * down, m10, m11, y - m10 * right - m11 * down, 0.0, 0.0, 1.0
    return np.stack(np.broadcast_arrays(*np.atleast_1d(*rows)), 1).reshape(-1, 3, 3)

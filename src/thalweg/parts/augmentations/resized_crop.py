"""A random part of an image, resized (L32)."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Geometric, Shape
from thalweg.parts.augmentations.draws import Floats, between


@dataclass(frozen=True)
class ResizedCrop(Geometric):
    """Cuts a rectangle of random area, aspect and place out of an image and resizes it, in one interpolation.

        w h = a W H,  w / h = r,   a uniform in scale, log r uniform in log ratio,   w ≤ W, h ≤ H
        x = left + (j + ½) w / w' − ½        y = top + (i + ½) h / h' − ½

    The rectangle need not lie on whole pixels, and a side longer than the image's is cut to it. A sample that it does
    not act on is resized whole.

    Args:
        size: of the output, `(height, width)`, one integer for both, or None for the image's own.
        scale: (low, high) shares of the image's area, above 0 to 1.
        ratio: (low, high) widths by height, above 0.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.
        fill: what lies outside, where it merges with other warps; by itself the crop stays inside, and "edge" keeps the
            border bright.
        interpolation: "bilinear", "bicubic" or "nearest".

    >>> import torch
    >>> crop = ResizedCrop(2, scale=(0.25, 0.25), ratio=(1, 1))
    >>> crop(torch.arange(16.0).view(1, 4, 4), ids=[0])
    tensor([[[ 5.3868,  6.3868],
             [ 9.3868, 10.3868]]])

    Source: lecture row L32; Szegedy et al. 2015. As torchvision's `RandomResizedCrop`, which rounds the rectangle to
    whole pixels and draws again where it does not fit.
    """

    size: int | tuple[int, int] | None = None
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    fill: float | str = field(default="edge", kw_only=True)
    num_draws: ClassVar[int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.size if isinstance(self.size, tuple | list) else (self.size, self.size)
        counts = [isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in given]
        due = "an integer of at least 1, two of them (height, width), or None for the image's own size"
        self._check("size", self.size is None or (len(counts) == 2 and all(counts)), due)
        self._require_range("scale", 1e-4, 1.0)
        self._require_range("ratio", 1e-3)

    def shape_after(self, shape: Shape) -> Shape:
        if self.size is None:
            return shape
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        return shape[0], height, width

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        _, height, width = shape
        area = between(u[0], *self.scale) * height * width
        ratio = np.exp(between(u[1], np.log(self.ratio[0]), np.log(self.ratio[1])))
        across, down = np.minimum(np.sqrt(area * ratio), width), np.minimum(np.sqrt(area / ratio), height)
        return {"left": u[2] * (width - across), "top": u[3] * (height - down), "width": across, "height": down}

    def matrix(self, drawn: Drawn, shape: Shape) -> Floats:
        return self.cut(drawn["left"], drawn["top"], drawn["width"], drawn["height"], shape)

    def unmoved(self, shape: Shape) -> Floats:
        none = np.zeros(1)
        found: Floats = self.cut(none, none, none + shape[2], none + shape[1], shape)[0]
        return found

    def cut(self, left: Floats, top: Floats, width: Floats, height: Floats, shape: Shape) -> Floats:
        """`[B, 3, 3]`, from the output's pixels to a rectangle of the input."""
        _, rows, columns = self.shape_after(shape)
        found = np.zeros((len(left), 3, 3))
        found[:, 0, 0], found[:, 1, 1], found[:, 2, 2] = width / columns, height / rows, 1.0
        found[:, 0, 2] = left + width / columns / 2 - 0.5
        found[:, 1, 2] = top + height / rows / 2 - 0.5
        return found

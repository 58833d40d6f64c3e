"""Images moved by a few whole pixels (L32)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Geometric, Shape
from thalweg.parts.augmentations.draws import Floats, integers


@dataclass(frozen=True)
class PaddedCrop(Geometric):
    """Pads an image by some pixels on all sides and cuts an image of its size out of it, anywhere; exact.

        y[i, j] = x[i + d_y, j + d_x],   d_x, d_y uniform in −padding, …, padding

    Args:
        padding: pixels on each side, at least 1; an eighth of the width is usual.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.
        fill: what is padded with: a share of the brightest value, "edge" or "reflect".
        interpolation: where it merges with other warps.

    >>> import torch
    >>> crop = PaddedCrop(1)
    >>> crop(torch.eye(3)[None], ids=[0])
    tensor([[[1., 0., 0.],
             [0., 1., 0.],
             [0., 0., 0.]]])

    Source: lecture row L32; He et al. 2016, section 4.2. As torchvision's `RandomCrop(size, padding=)`.
    """

    padding: int = 4
    num_draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_count("padding")

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        moves = integers(u, 2 * self.padding + 1) - self.padding
        return {"dx": moves[0], "dy": moves[1]}

    def matrix(self, drawn: Drawn, shape: Shape) -> Floats:
        found = np.tile(np.eye(3), (len(drawn["dx"]), 1, 1))
        found[:, 0, 2], found[:, 1, 2] = drawn["dx"], drawn["dy"]
        return found

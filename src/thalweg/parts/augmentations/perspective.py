"""Images seen from aside (L32)."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Geometric, Shape
from thalweg.parts.augmentations.draws import Floats, between

MOST = 0.66  # from 2/3 on the four corners may form no convex figure, and no view of a plane shows it
INWARD = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])  # of the corners, clockwise from the upper left


@dataclass(frozen=True)
class Perspective(Geometric):
    """Moves each corner of an image inward, independently, and what lies between by the homography of the four.

        corner + (±u_x d (W − 1) / 2, ±u_y d (H − 1) / 2),   u_x, u_y uniform from 0 to 1

    Args:
        distortion: d, from 0 to 0.66; from 2/3 on the corners may form no convex figure.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.
        fill: what lies outside: a share of the brightest value, "edge" or "reflect".
        interpolation: "bilinear", "bicubic" or "nearest".

    >>> import torch
    >>> Perspective(0.0, p=1.0)(torch.tensor([[[1.0, 0.0], [0.5, 0.0]]]))
    tensor([[[1.0000, 0.0000],
             [0.5000, 0.0000]]])

    Source: lecture row L32. As torchvision's `RandomPerspective`, which moves corners by whole pixels.
    """

    distortion: float = 0.5
    p: float = field(default=0.5, kw_only=True)
    num_draws: ClassVar[int] = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("distortion", 0, MOST)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        limit = self.distortion * (np.array([shape[2], shape[1]]) - 1) / 2
        moves = between(u.T.reshape(-1, 4, 2), 0.0, limit) * INWARD  # type: ignore[arg-type]
        return {"corners": corners_of(shape) + moves}

    def matrix(self, drawn: Drawn, shape: Shape) -> Floats:
        return homography(drawn["corners"], np.broadcast_to(corners_of(shape), drawn["corners"].shape))


def corners_of(shape: Shape) -> Floats:
    """`[4, 2]`, (x, y) of an image's corner pixels, clockwise from the upper left."""
    right, bottom = shape[2] - 1.0, shape[1] - 1.0
    return np.array([(0.0, 0.0), (right, 0.0), (right, bottom), (0.0, bottom)])


def homography(points: Floats, images: Floats) -> Floats:
    """`[B, 3, 3]` that takes four points `[B, 4, 2]` each to its image `[B, 4, 2]`; its last entry is 1.

    Two equations for each point, m₀ x + m₁ y + m₂ = x' (m₆ x + m₇ y + 1), and so for y'.
    """
    count = len(points)
    equations = np.zeros((count, 4, 2, 8))
    equations[:, :, 0, 0:2], equations[:, :, 0, 2] = points, 1.0
    equations[:, :, 1, 3:5], equations[:, :, 1, 5] = points, 1.0
    equations[..., 6:8] = -images[..., None] * points[:, :, None, :]
    found = np.linalg.solve(equations.reshape(count, 8, 8), images.reshape(count, 8, 1))[..., 0]
    return np.concatenate([found, np.ones((count, 1))], 1).reshape(count, 3, 3)

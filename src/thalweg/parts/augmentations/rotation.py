"""Images turned about their center (L32)."""

from dataclasses import dataclass
from typing import ClassVar

from thalweg.parts.augmentations.affine import Degrees, affine_matrix, span
from thalweg.parts.augmentations.augmentation import Drawn, Geometric, Shape
from thalweg.parts.augmentations.draws import Floats, between


@dataclass(frozen=True)
class Rotation(Geometric):
    """p' = c + R(a) (p − c), clockwise for a > 0, a uniform.

    Args:
        degrees: a number from 0 to 360, for −degrees to degrees, or (low, high).
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.
        fill: what lies outside: a share of the brightest value, "edge" or "reflect".
        interpolation: "bilinear", "bicubic" or "nearest".

    >>> import torch
    >>> Rotation((90, 90))(torch.tensor([[[1.0, 0.0], [0.5, 0.0]]]))
    tensor([[[0.5000, 1.0000],
             [0.0000, 0.0000]]])

    Source: lecture row L32. As torchvision's `RandomRotation`, whose angles turn the other way.
    """

    degrees: Degrees = 15.0
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_span("degrees", 360)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return {"angle": between(u[0], *span(self.degrees))}

    def matrix(self, drawn: Drawn, shape: Shape) -> Floats:
        return affine_matrix(shape, angle=drawn["angle"])

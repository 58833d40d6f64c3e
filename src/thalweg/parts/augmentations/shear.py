"""Images slanted about their center (L32)."""

from dataclasses import dataclass
from typing import ClassVar

from thalweg.parts.augmentations.affine import Degrees, affine_matrix, span
from thalweg.parts.augmentations.augmentation import Drawn, Geometric, Shape
from thalweg.parts.augmentations.draws import Floats, between


@dataclass(frozen=True)
class Shear(Geometric):
    """p' = c + K (p − c),   K = (1, −tan φ_x; 0, 1) (1, 0; −tan φ_y, 1), with the signs of torchvision's `affine`.

    Args:
        degrees: φ_x, a number from 0 to 89 for −degrees to degrees, or (low, high).
        degrees_y: φ_y, the same.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.
        fill: what lies outside: a share of the brightest value, "edge" or "reflect".
        interpolation: "bilinear", "bicubic" or "nearest".

    >>> import torch
    >>> Shear((45, 45))(torch.eye(3)[None])
    tensor([[[0., 1., 0.],
             [0., 1., 0.],
             [0., 1., 0.]]])

    Source: lecture row L32. As torchvision's `RandomAffine(0, shear=)`.
    """

    degrees: Degrees = 10.0
    degrees_y: Degrees = 0.0
    num_draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_span("degrees", 89)
        self._require_span("degrees_y", 89)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return {"shear": between(u[0], *span(self.degrees)), "shear_y": between(u[1], *span(self.degrees_y))}

    def matrix(self, drawn: Drawn, shape: Shape) -> Floats:
        return affine_matrix(shape, shear=drawn["shear"], shear_y=drawn["shear_y"])

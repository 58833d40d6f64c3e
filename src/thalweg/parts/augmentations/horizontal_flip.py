"""Images mirrored left to right (L32)."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Geometric, Shape
from thalweg.parts.augmentations.draws import Floats


@dataclass(frozen=True)
class HorizontalFlip(Geometric):
    """y[i, j] = x[i, W − 1 − j], exact.

    Right for what looks as likely mirrored: most photographs. Not for digits, letters, and scenes with text.

    Args:
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.
        fill: has no effect: nothing comes from outside.
        interpolation: has no effect: pixels change places.

    >>> import torch
    >>> HorizontalFlip(p=1.0)(torch.tensor([[[[1.0, 0.5, 0.0]]]]))
    tensor([[[[0.0000, 0.5000, 1.0000]]]])

    Source: lecture row L32; Krizhevsky et al. 2012. As torchvision's `RandomHorizontalFlip`.
    """

    p: float = field(default=0.5, kw_only=True)
    permutes: ClassVar[bool] = True

    def matrix(self, drawn: Drawn, shape: Shape) -> Floats:
        return np.array([[[-1.0, 0.0, shape[2] - 1], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])

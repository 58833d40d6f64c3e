"""Colors turned in the plane of chroma (L32)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from thalweg.errors import DataError
from thalweg.parts.augmentations.augmentation import Drawn, Photometric, Shape
from thalweg.parts.augmentations.draws import Floats, between


@dataclass(frozen=True)
class HueRotation(Photometric):
    """(I', Q') = R(2π t) (I, Q) in YIQ, linear in the colors; luma stays. t uniform from −turns to turns.

    It merges with brightness, contrast and saturation into one matrix. It is not the hue of HSV: that is `HueHSV`.

    Args:
        turns: from 0 to 0.5; of images of one channel it has no effect.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    Raises:
        DataError: for images of two or more than three channels, which have no hue.

    >>> import torch
    >>> HueRotation(0.1)(torch.tensor([0.6, 0.5, 0.4]).view(1, 3, 1, 1), ids=[0]).flatten()
    tensor([0.6175, 0.4803, 0.4554])

    Source: lecture row L32; the matrix is that of NTSC's YIQ.
    """

    turns: float = 0.1
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("turns", 0, 0.5)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        if self.turns:
            require_hue(type(self).__name__, shape)
        return {"turns": between(u[0], -self.turns, self.turns)}

    def color(self, drawn: Drawn) -> dict[str, Floats]:
        return {"hue": 2 * np.pi * drawn["turns"]}


def require_hue(name: str, shape: Shape) -> None:
    """Raises `DataError` for images whose channels are no colors with a hue."""
    if shape[0] not in (1, 3):
        raise DataError(
            f"{name} turns the hue of red, green and blue and got images of {shape[0]} channels; due are three, or one "
            "channel, which has no hue. Leave the hue out for these."
        )

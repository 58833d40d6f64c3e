"""Colors turned in the plane of chroma (L32)."""

from dataclasses import dataclass

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Photometric
from thalweg.parts.augmentations.by_turns import ByTurns
from thalweg.parts.augmentations.draws import Floats


@dataclass(frozen=True)
class HueRotation(ByTurns, Photometric):
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

    def color(self, drawn: Drawn) -> dict[str, Floats]:
        return {"hue": 2 * np.pi * drawn["turns"]}

"""Images as negatives (L32)."""

from dataclasses import dataclass, field

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Photometric
from thalweg.parts.augmentations.draws import Floats


@dataclass(frozen=True)
class Invert(Photometric):
    """x' = peak − x.

    Args:
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Invert(p=1.0)(torch.tensor([[[1.0, 0.75, 0.0]]]))
    tensor([[[0.0000, 0.2500, 1.0000]]])

    Source: lecture row L32; Cubuk et al. 2019. As torchvision's `RandomInvert`.
    """

    p: float = field(default=0.5, kw_only=True)

    def color(self, drawn: Drawn) -> dict[str, Floats]:
        one = np.ones(len(drawn["applied"]))
        return {"luma": -one, "chroma": -one, "offset": one}

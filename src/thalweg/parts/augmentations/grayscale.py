"""Images without their colors (L32)."""

from dataclasses import dataclass, field

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Photometric
from thalweg.parts.augmentations.draws import Floats


@dataclass(frozen=True)
class Grayscale(Photometric):
    """x' = Y in every channel, of three channels Y = 0.299 R + 0.587 G + 0.114 B, of others their mean.

    Args:
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Grayscale(p=1.0)(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)).flatten()
    tensor([0.2990, 0.2990, 0.2990])

    Source: lecture row L32; Chen et al. 2020. As torchvision's `RandomGrayscale`.
    """

    p: float = field(default=0.1, kw_only=True)

    def color(self, drawn: Drawn) -> dict[str, Floats]:
        return {"chroma": np.zeros(len(drawn["applied"]))}

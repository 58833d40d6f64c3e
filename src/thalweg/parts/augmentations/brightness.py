"""Images made brighter or darker (L32)."""

from dataclasses import dataclass

from thalweg.parts.augmentations.augmentation import Drawn, Photometric
from thalweg.parts.augmentations.by_factor import ByFactor
from thalweg.parts.augmentations.draws import Floats


@dataclass(frozen=True)
class Brightness(ByFactor, Photometric):
    """x' = b x, limited to the range of brightness; b uniform from max(0, 1 − strength) to 1 + strength.

    Args:
        strength: at least 0.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Brightness(0.4)(torch.full((1, 3, 1, 1), 0.5), ids=[0]).flatten()
    tensor([0.6085, 0.6085, 0.6085])

    Source: lecture row L32. As torchvision's `ColorJitter(brightness=)`.
    """

    def color(self, drawn: Drawn) -> dict[str, Floats]:
        return {"luma": drawn["factor"], "chroma": drawn["factor"]}

"""Images with stronger or weaker colors (L32)."""

from dataclasses import dataclass

from thalweg.parts.augmentations.augmentation import Drawn, Photometric
from thalweg.parts.augmentations.by_factor import ByFactor
from thalweg.parts.augmentations.draws import Floats


@dataclass(frozen=True)
class Saturation(ByFactor, Photometric):
    """x' = s x + (1 − s) Y, limited to the range of brightness; s uniform from max(0, 1 − strength) to 1 + strength.

    Args:
        strength: at least 0; of one channel it has no effect.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Saturation(0.4)(torch.tensor([0.25, 0.5, 0.75]).view(1, 3, 1, 1), ids=[0]).flatten()
    tensor([0.2058, 0.5100, 0.8143])

    Source: lecture row L32. As torchvision's `ColorJitter(saturation=)`.
    """

    def color(self, drawn: Drawn) -> dict[str, Floats]:
        return {"chroma": drawn["factor"]}

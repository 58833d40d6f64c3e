"""Images with more or less contrast (L32)."""

from dataclasses import dataclass

from thalweg.parts.augmentations.augmentation import Drawn, Photometric
from thalweg.parts.augmentations.by_factor import ByFactor
from thalweg.parts.augmentations.draws import Floats


@dataclass(frozen=True)
class Contrast(ByFactor, Photometric):
    """x' = c x + (1 − c) E[Y], limited to the range of brightness; c uniform from max(0, 1 − strength) to 1 + strength.

    Args:
        strength: at least 0.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Contrast(0.4)(torch.tensor([[[0.25, 0.75]]]), ids=[0])
    tensor([[[0.1957, 0.8043]]])

    Source: lecture row L32. As torchvision's `ColorJitter(contrast=)`.
    """

    def color(self, drawn: Drawn) -> dict[str, Floats]:
        return {"luma": drawn["factor"], "mean": 1 - drawn["factor"], "chroma": drawn["factor"]}

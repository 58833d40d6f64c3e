"""Images with stronger or weaker colors (L32)."""

from dataclasses import dataclass
from typing import ClassVar

from thalweg.parts.augmentations.augmentation import Drawn, Photometric, Shape
from thalweg.parts.augmentations.draws import Floats, between


@dataclass(frozen=True)
class Saturation(Photometric):
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

    strength: float = 0.4
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("strength", 0)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return {"factor": between(u[0], max(0.0, 1 - self.strength), 1 + self.strength)}

    def color(self, drawn: Drawn) -> dict[str, Floats]:
        return {"chroma": drawn["factor"]}

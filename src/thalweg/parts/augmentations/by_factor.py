"""What several parts draw: a factor around 1."""

from dataclasses import dataclass
from typing import ClassVar

from thalweg.parts.augmentations.augmentation import Drawn, ImageAugmentation, Shape
from thalweg.parts.augmentations.draws import Floats, between


@dataclass(frozen=True)
class ByFactor(ImageAugmentation):
    """One whose strength is a factor, uniform from max(0, 1 − strength) to 1 + strength."""

    strength: float = 0.4
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("strength", 0)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return {"factor": between(u[0], max(0.0, 1 - self.strength), 1 + self.strength)}

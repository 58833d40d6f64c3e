"""What parts that turn the hue draw: an angle around 0."""

from dataclasses import dataclass
from typing import ClassVar

from thalweg.errors import DataError
from thalweg.parts.augmentations.augmentation import Drawn, ImageAugmentation, Shape
from thalweg.parts.augmentations.draws import Floats, between


@dataclass(frozen=True)
class ByTurns(ImageAugmentation):
    """One that turns the hue by a share of a turn, uniform from −turns to turns."""

    turns: float = 0.1
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("turns", 0, 0.5)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        if self.turns:
            require_hue(type(self).__name__, shape)
        return {"turns": between(u[0], -self.turns, self.turns)}


def require_hue(name: str, shape: Shape) -> None:
    """Raises `DataError` for images whose channels are no colors with a hue."""
    if shape[0] not in (1, 3):
        raise DataError(
            f"{name} turns the hue of red, green and blue and got images of {shape[0]} channels; due are three, or one "
            "channel, which has no hue. Leave the hue out for these."
        )

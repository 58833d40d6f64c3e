"""What blanks stretches of a sequence: of time, or of frequencies."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, is_number
from thalweg.parts.augmentations.draws import Floats, integers, seeds, spread, uniforms
from thalweg.parts.augmentations.sequence import SequenceAugmentation, whole

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Blanking(SequenceAugmentation):
    """One that fills some stretches.

    Args:
        share: of the places that a stretch takes at most, from 0 to 1; at least one.
        count: stretches, which may overlap.
        fill: "mean" or a number.
    """

    share: float = 0.1
    count: int = 1
    fill: float | str = "mean"
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("share", 0, 1)
        self._require_count("count")
        self._check("fill", self.fill == "mean" or is_number(self.fill), "'mean' or a number")


def stretches(u: Floats, count: int, share: float, size: int) -> Drawn:
    """`[B, count]` first places and lengths of stretches of 0, …, size − 1, from one uniform number for each sample."""
    drawn = uniforms(spread(seeds(u), 2 * count))
    length = integers(drawn[:, :count], whole(share, size) + 1)
    start = np.floor(drawn[:, count:] * (size + 1 - length))
    return {"start": start.astype(np.int64), "length": length.astype(np.int64)}


def covered(drawn: Drawn, size: int, x: "Tensor") -> "Tensor":
    """`[n, size]` beside x, whether a place lies in one of the stretches."""
    import torch

    found = np.zeros((len(x), size), np.bool_)
    starts, stops = drawn["start"].tolist(), (drawn["start"] + drawn["length"]).tolist()
    for row, own_starts, own_stops in zip(found, starts, stops, strict=True):  # a tenth of the time of comparing places
        for start, stop in zip(own_starts, own_stops, strict=True):
            row[start:stop] = True
    return torch.from_numpy(found).to(x.device)

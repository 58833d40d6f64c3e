"""Sequences with stretches of time blanked (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Shape, is_number
from thalweg.parts.augmentations.draws import Floats, integers, seeds, spread, uniforms
from thalweg.parts.augmentations.sequence import SequenceAugmentation, whole

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TimeMask(SequenceAugmentation):
    """Blanks stretches of time in all channels.

        y[c, t] = fill   for t₀ ≤ t < t₀ + ℓ,   ℓ uniform in 0, …, share · T,   t₀ uniform in 0, …, T − ℓ

    Args:
        share: of time that a stretch takes at most, from 0 to 1; at least one step.
        count: stretches, which may overlap.
        fill: "mean" for the mean over time of each channel of the sample, or a number.
        time: the dimension of the batch that is time; 1 for `[B, T, F]`.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> TimeMask(0.5, fill=0.0)(torch.arange(1.0, 9.0).repeat(2, 1), ids=[0, 1])
    tensor([[1., 2., 3., 4., 5., 6., 7., 8.],
            [1., 2., 0., 0., 5., 6., 7., 8.]])

    Source: lecture row L32; Park et al. 2019, "SpecAugment". As torchaudio's `TimeMasking`.
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

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return stretches(u[0], self.count, self.share, self.size(shape)[1])

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        from thalweg.parts.augmentations.signals import mean

        fill = mean(x) if isinstance(self.fill, str) else x.new_tensor(self.fill)
        return fill.where(covered(drawn, x.shape[2], x)[:, None], x)


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

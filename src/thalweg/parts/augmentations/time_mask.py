"""Sequences with stretches of time blanked (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.blanking import Blanking, covered, stretches
from thalweg.parts.augmentations.draws import Floats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TimeMask(Blanking):
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

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return stretches(u[0], self.count, self.share, self.size(shape)[1])

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        from thalweg.parts.augmentations.signals import mean

        fill = mean(x) if isinstance(self.fill, str) else x.new_tensor(self.fill)
        return fill.where(covered(drawn, x.shape[2], x)[:, None], x)

"""Spectrograms with bands of frequencies blanked (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.errors import DataError
from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.blanking import Blanking, covered, stretches
from thalweg.parts.augmentations.draws import Floats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FrequencyMask(Blanking):
    """Blanks bands of neighboring channels of `[B, C, T]`, the frequencies of a spectrogram.

        y[c, t] = fill   for c₀ ≤ c < c₀ + ℓ,   ℓ uniform in 0, …, share · C,   c₀ uniform in 0, …, C − ℓ

    Args:
        share: of the channels that a band takes at most, from 0 to 1; at least one channel.
        count: bands, which may overlap.
        fill: "mean" for the mean of the sample over channels and time, or a number.
        time: the dimension of the batch that is time; 1 for `[B, T, F]`.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    Raises:
        DataError: for `[B, T]`, a waveform: it has no channels to blank; give its spectrogram.

    >>> import torch
    >>> FrequencyMask(1.0, fill=0.0)(torch.ones(1, 6, 2), ids=[0])[0, :, 0]
    tensor([1., 1., 1., 0., 1., 1.])

    Source: lecture row L32; Park et al. 2019, "SpecAugment". As torchaudio's `FrequencyMasking`.
    """

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        channels, _ = self.size(shape)
        if len(shape) == 1:
            raise DataError(
                f"FrequencyMask got sequences [B, {shape[0]}] without channels; it blanks rows of [B, C, T], the "
                "frequencies of a spectrogram. Give that, or take TimeMask."
            )
        return stretches(u[0], self.count, self.share, channels)

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        from thalweg.parts.augmentations.signals import mean

        fill = mean(x.flatten(1))[:, None] if isinstance(self.fill, str) else x.new_tensor(self.fill)
        return fill.where(covered(drawn, x.shape[1], x)[:, :, None], x)

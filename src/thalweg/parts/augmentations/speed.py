"""Sequences played faster or slower (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats, between
from thalweg.parts.augmentations.sequence import SequenceAugmentation

if TYPE_CHECKING:
    from torch import Tensor

EDGE = 1e-6  # of a step: a position that is outside by less than this is so by rounding


@dataclass(frozen=True)
class Speed(SequenceAugmentation):
    """Plays a sequence faster or slower, its length kept; pitch changes along, as on a tape.

        y[t] = x(t₀ + f t), 0 outside of x,   f uniform from low to high,   t₀ = u (1 − f)(T − 1),   u uniform in 0…1

    Slower, a stretch somewhere fills the length; faster, the whole becomes shorter and lies somewhere between zeros.
    Values between steps are interpolated linearly.

    Args:
        factors: (low, high), above 0; 2 plays twice as fast.
        time: the dimension of the batch that is time; 1 for `[B, T, F]`.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Speed((2.0, 2.0))(torch.arange(1.0, 8.0)[None], ids=[0])
    tensor([[0.0000, 0.0000, 0.0000, 2.2997, 4.2997, 6.2997, 0.0000]])

    Source: lecture row L32; Ko et al. 2015, "Audio augmentation for speech recognition". As torchaudio's
    `SpeedPerturbation`, which changes the length.
    """

    factors: tuple[float, float] = (0.9, 1.1)
    num_draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_range("factors", 1e-3)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        factor = between(u[0], *self.factors)
        return {"factor": factor, "start": u[1] * (1 - factor) * (self.size(shape)[1] - 1)}

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        import torch

        from thalweg.parts.augmentations.signals import put, resampled

        last = x.shape[2] - 1
        steps = torch.arange(x.shape[2], dtype=torch.float64, device=x.device)
        start, factor = (put(drawn[name], x, exact=True)[:, None] for name in ("start", "factor"))
        position = (factor * steps).add_(start)
        outside = (position < -EDGE) | (position > last + EDGE)
        return resampled(x, position).masked_fill_(outside[:, None], 0)

"""Sequences cut to a stretch, which is stretched to the length again (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats, between
from thalweg.parts.augmentations.sequence import SequenceAugmentation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TimeCrop(SequenceAugmentation):
    """Cuts a stretch out of a sequence and stretches it to the length of the whole, by linear interpolation.

        y[t] = x(t₀ + s t),   s uniform from share to 1,   t₀ uniform from 0 to (1 − s)(T − 1)

    Args:
        share: of the length that is kept at least, above 0 and at most 1.
        time: the dimension of the batch that is time; 1 for `[B, T, F]`.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> TimeCrop(0.5)(torch.arange(6.0)[None], ids=[0])
    tensor([[0.4478, 1.3335, 2.2192, 3.1048, 3.9905, 4.8762]])

    Source: lecture row L32; Le Guennec et al. 2016, "Data augmentation for time series classification using
    convolutional neural networks" (window slicing).
    """

    share: float = 0.8
    num_draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("share", 0, 1)
        self._check("share", self.share > 0, "a number above 0, at most 1")

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        kept = between(u[0], self.share, 1)
        return {"kept": kept, "start": u[1] * (1 - kept) * (self.size(shape)[1] - 1)}

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        import torch

        from thalweg.parts.augmentations.signals import put, resampled

        steps = torch.arange(x.shape[2], dtype=torch.float64, device=x.device)
        start, kept = (put(drawn[name], x, exact=True)[:, None] for name in ("start", "kept"))
        return resampled(x, (kept * steps).add_(start))

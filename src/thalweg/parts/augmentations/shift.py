"""Sequences moved in time (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats, integers
from thalweg.parts.augmentations.sequence import SequenceAugmentation, whole

if TYPE_CHECKING:
    from torch import Tensor

FILLS = ("zero", "edge", "wrap")


@dataclass(frozen=True)
class Shift(SequenceAugmentation):
    """Moves a sequence by whole steps, all channels alike; exact.

        y[t] = x[t − d],   d uniform in −m, …, m,   m = share · T

    Args:
        share: of the length that it moves at most, from 0 to 1; at least one step.
        fill: what comes in at the end that is left: "zero", "edge" for the first or last value, or "wrap" for what went
            out at the other end.
        time: the dimension of the batch that is time; 1 for `[B, T, F]`.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Shift(0.5, fill="wrap")(torch.arange(6.0).repeat(2, 1), ids=[0, 1])
    tensor([[4., 5., 0., 1., 2., 3.],
            [0., 1., 2., 3., 4., 5.]])

    Source: lecture row L32. As audiomentations' `Shift`.
    """

    share: float = 0.1
    fill: str = "zero"
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("share", 0, 1)
        self._check("fill", self.fill in FILLS, ", ".join(map(repr, FILLS)))

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        most = whole(self.share, self.size(shape)[1])
        return {"steps": integers(u[0], 2 * most + 1).astype(np.int64) - most}

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        import torch

        size = x.shape[2]
        source = torch.arange(size, device=x.device) - torch.from_numpy(drawn["steps"]).to(x.device)[:, None]
        if self.fill == "wrap":
            source.remainder_(size)
        elif self.fill == "edge":
            source.clamp_(0, size - 1)
        else:
            x = torch.nn.functional.pad(x, (1, 1))
            source.add_(1).clamp_(0, size + 1)
        return x.gather(2, source[:, None].expand(-1, x.shape[1], -1))

"""Sequences moved in time (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats, integers
from thalweg.parts.augmentations.sequence import SequenceAugmentation, whole

if TYPE_CHECKING:
    from torch import Tensor

PADDING = {"zero": "constant", "edge": "replicate", "wrap": "circular"}


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
        self._check("fill", self.fill in PADDING, ", ".join(map(repr, PADDING)))

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        most = whole(self.share, self.size(shape)[1])
        return {"steps": integers(u[0], 2 * most + 1).astype(np.int64) - most}

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        import torch

        steps = drawn["steps"]
        most = int(np.abs(steps).max())
        windows = torch.nn.functional.pad(x, (most, most), mode=PADDING[self.fill]).unfold(2, x.shape[2], 1)
        rows = torch.arange(len(x), device=x.device)
        return windows[rows, :, torch.from_numpy(most - steps).to(x.device)]

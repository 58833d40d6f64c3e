"""Mixup or CutMix, drawn for each sample (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.cut_mix import boxed, cut, pasted, sides
from thalweg.parts.augmentations.draws import Floats
from thalweg.parts.augmentations.mixing import BETA_DRAWS, Mixing, averaged, beta
from thalweg.parts.augmentations.mixup import as_floats, refuse_masks

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.parts.augmentations.forms import Sample


@dataclass(frozen=True)
class MixupOrCutMix(Mixing):
    """CutMix with the probability `switch`, else Mixup.

    Args:
        mixup_alpha: α of Mixup, above 0.
        cut_mix_alpha: α of CutMix, above 0.
        switch: probability of CutMix.
        classes: how many there are, where targets are class indices; a plan fills it in.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> x, y = MixupOrCutMix(classes=4)((torch.rand(4, 3, 8, 8), torch.arange(4)), ids=range(4))
    >>> y.shape, torch.allclose(y.sum(1), torch.ones(4))
    (torch.Size([4, 4]), True)

    Source: lecture row L32; the switch of Wightman's timm, there drawn for each batch.
    """

    mixup_alpha: float = 0.8
    cut_mix_alpha: float = 1.0
    switch: float = 0.5
    num_draws: ClassVar[int] = BETA_DRAWS + 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("mixup_alpha", 1e-3)
        self._require_number("cut_mix_alpha", 1e-3)
        self._require_number("switch", 0, 1)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        cuts = u[-1] < self.switch
        return {
            "cut": cuts,
            "share": np.where(cuts, 1.0, beta(u, self.mixup_alpha)),
            "box": np.where(cuts[:, None], cut(beta(u, self.cut_mix_alpha), u[-3:-1], shape)["box"], 0),
        }

    def mix(self, sample: "Sample", drawn: Drawn) -> None:
        import torch

        refuse_masks(sample)
        height, width = sides(sample.shape)
        box = np.where(drawn["applied"][:, None], drawn["box"], 0)
        share = np.where(drawn["applied"], drawn["share"], 1.0)
        x = as_floats(sample)
        # A sample is either averaged or pasted into, with what the next one was before.
        inside = boxed(box, height, width).to(x.device)
        sample.x = both(x, torch.from_numpy(share), inside)
        area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) / (width * height)
        self.mix_target(sample, torch.from_numpy(share - area))


def both(x: "Tensor", share: "Tensor", inside: "Tensor") -> "Tensor":
    """Averages with the next sample where λ is below 1, and its pixels where they are inside."""
    flat = inside.flatten(1).any(1).view(-1, *[1] * (x.dim() - 1))
    return pasted(x, inside).where(flat, averaged(x, share))

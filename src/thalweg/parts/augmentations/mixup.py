"""Samples and targets averaged in pairs (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from thalweg.errors import DataError
from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats
from thalweg.parts.augmentations.mixing import BETA_DRAWS, Mixing, averaged, beta

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.parts.augmentations.forms import Sample


@dataclass(frozen=True)
class Mixup(Mixing):
    """x' = λ x + (1 − λ) x_next,  y' = λ y + (1 − λ) y_next,  λ ~ Beta(α, α).

    Args:
        alpha: α above 0; 0.2 mixes little, 1 evenly.
        classes: how many there are, where targets are class indices; a plan fills it in.
        p: probability of acting on a sample.
        per: "sample" for a λ of each sample's own; "batch" for one for all.

    >>> import torch
    >>> x, y = Mixup(0.2, classes=2)((torch.eye(2), torch.tensor([0, 1])), ids=[0, 1])
    >>> bool(((0 <= y) & (y <= 1)).all()), y.sum(1), torch.equal(x, y)
    (True, tensor([1., 1.]), True)

    Source: lecture row L32; Zhang et al. 2018, "mixup: beyond empirical risk minimization".
    """

    alpha: float = 0.2
    num_draws: ClassVar[int] = BETA_DRAWS

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("alpha", 1e-3)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return {"share": beta(u, self.alpha)}

    def mix(self, sample: "Sample", drawn: Drawn) -> None:
        import numpy as np
        import torch

        refuse_masks(sample)
        share = torch.from_numpy(np.where(drawn["applied"], drawn["share"], 1.0))
        sample.x = averaged(as_floats(sample), share)
        self.mix_target(sample, share)


def refuse_masks(sample: "Sample") -> None:
    if sample.mask is not None:
        raise DataError("Mixup got masks, whose classes cannot be averaged; take CutMix, which moves them along.")


def as_floats(sample: "Sample") -> "Tensor":
    """The batch in floating point. Raises `DataError` for tokens, which have no average."""
    if not sample.x.is_floating_point() and sample.x.dim() < 3:
        raise DataError(f"Mixing got {sample.x.dtype} {list(sample.x.shape)}; indices have no average, give floats.")
    return sample.x if sample.x.is_floating_point() else sample.x.float()

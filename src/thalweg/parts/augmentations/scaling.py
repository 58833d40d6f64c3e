"""Sequences louder or quieter (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats, normals, seeds
from thalweg.parts.augmentations.sequence import SequenceAugmentation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Scaling(SequenceAugmentation):
    """Multiplies a sample, or each of its channels, by a factor.

        y[c, t] = s_c · x[c, t],   s_c from N(1, std²)

    Args:
        std: of the factor, at least 0; from 1/3 on some factors are negative and turn the signal around.
        per_channel: whether each channel has a factor of its own.
        time: the dimension of the batch that is time; 1 for `[B, T, F]`.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Scaling(0.1)(torch.tensor([[1.0, 2.0], [1.0, 2.0]]), ids=[0, 1])
    tensor([[0.9411, 1.8822],
            [1.0689, 2.1377]])

    Source: lecture row L32; Um et al. 2017, "Data augmentation of wearable sensor data".
    """

    std: float = 0.1
    per_channel: bool = False
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("std", 0)
        self._check("per_channel", isinstance(self.per_channel, bool), "True or False")

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        factor = 1 + self.std * normals(seeds(u[0]), self.size(shape)[0] if self.per_channel else 1).astype(float)
        return {"factor": factor if self.per_channel else factor[:, 0]}

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        from thalweg.parts.augmentations.signals import put

        return x * put(drawn["factor"], x).view(len(x), -1, 1)

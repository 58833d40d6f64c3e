"""Sequences with noise on every value (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats, normals, seeds
from thalweg.parts.augmentations.sequence import SequenceAugmentation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Jitter(SequenceAugmentation):
    """Adds Gaussian noise, in units of the standard deviation over time of each channel of the sample.

        y[c, t] = x[c, t] + std · σ_c · ε[c, t],   ε standard normal

    Sensors of different units take noise in their own; a silent channel stays silent.

    Args:
        std: of the noise, at least 0; 0.03 is usual for motion sensors.
        time: the dimension of the batch that is time; 1 for `[B, T, F]`.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> Jitter(0.1)(torch.tensor([[-1.0, 1.0, -1.0, 1.0], [3.0, 3.0, 3.0, 3.0]]), ids=[0, 1])
    tensor([[-1.0589,  1.0085, -1.1710,  0.8951],
            [ 3.0000,  3.0000,  3.0000,  3.0000]])

    Source: lecture row L32; Um et al. 2017, "Data augmentation of wearable sensor data". As tsaug's `AddNoise`.
    """

    std: float = 0.03
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("std", 0)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return {"seed": seeds(u[0])}

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        from thalweg.parts.augmentations.signals import deviation, put

        noise = put(normals(drawn["seed"], x[0].numel()), x).view(x.shape)
        return (deviation(x) * self.std * noise).add_(x)

"""Gaussian noise on the pixels of images (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Pixelwise, Shape, is_number
from thalweg.parts.augmentations.draws import Floats, Integers, between, integers

if TYPE_CHECKING:
    from torch import Tensor

SEEDS = 2**32  # what the Mersenne Twister of torch's generator takes


@dataclass(frozen=True)
class Noise(Pixelwise):
    """x' = x + σ peak ε, limited to the range of brightness; ε normal, of each pixel and channel its own.

    The noise of a sample comes from a generator on the host that its draw seeds, and so is the same on any device.

    Args:
        std: σ, a share of the brightest value, at least 0, or (low, high) to draw it from.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> x = torch.full((2, 1, 64, 64), 0.5)
    >>> y = Noise(0.1)(x, ids=[3, 4])
    >>> round(float(y.std()), 2), torch.equal(Noise(0.1)(x[1:], ids=[4]), y[1:])
    (0.1, True)

    Source: lecture row L32; Bishop 1995, "Training with noise is equivalent to Tikhonov regularization". As
    torchvision's `GaussianNoise`.
    """

    std: float | tuple[float, float] = 0.05
    num_draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_number(self.std):
            self._require_number("std", 0)
        else:
            self._require_range("std", 0)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        low, high = (self.std, self.std) if isinstance(self.std, int | float) else self.std
        return {"std": between(u[0], low, high), "seed": seeds(u[1])}

    def apply(self, x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
        std = (parameters["std"] * peak)[:, None, None, None]
        return x.addcmul_(random_like(x, parameters["seed"], normal=True), std).clamp_(0, peak)


def seeds(u: Floats) -> Integers:
    return integers(u, SEEDS).astype(np.int64)


def random_like(x: "Tensor", seeds: Integers, *, normal: bool) -> "Tensor":
    """Standard normal numbers, or uniform ones from 0 to 1, for `[n, ...]` samples by their seeds `[n]`."""
    import torch

    found = torch.empty(x.shape)
    generator = torch.Generator()
    for own, seed in zip(found, seeds.tolist(), strict=True):
        generator.manual_seed(seed)
        own.normal_(generator=generator) if normal else own.uniform_(generator=generator)
    return found.to(x.device, x.dtype)

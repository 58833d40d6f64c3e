"""Sequences that run faster here and slower there (L32)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats, between, seeds, spread, uniforms
from thalweg.parts.augmentations.sequence import SequenceAugmentation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TimeWarp(SequenceAugmentation):
    """Warps time smoothly; the first step and the last stay where they are.

        y(t) = x(τ(t)),   τ(t) = (T − 1) ∫₀ᵗ v / ∫₀ᵀ⁻¹ v

    with the speed v drawn at knots, log-uniform from 1 / (1 + strength) to 1 + strength, and linear between them: τ
    rises everywhere and has no corner. Values between steps are interpolated linearly.

    Args:
        strength: at least 0; 1 for speeds from a half to two, relative to their mean.
        knots: speeds that are drawn, at equal distances from the first step to the last; at least 2.
        time: the dimension of the batch that is time; 1 for `[B, T, F]`.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> TimeWarp(1.0)(torch.arange(6.0)[None], ids=[0])
    tensor([[0.0000, 0.9097, 2.0400, 3.1132, 4.0480, 5.0000]])

    Source: lecture row L32; Um et al. 2017, "Data augmentation of wearable sensor data". As tsaug's `TimeWarp`.
    """

    strength: float = 0.2
    knots: int = 4
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("strength", 0)
        self._require_count("knots", 2)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        exponent = between(uniforms(spread(seeds(u[0]), self.knots)), -1, 1)
        return {"speed": np.exp(exponent * np.log1p(self.strength))}

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        from thalweg.parts.augmentations.signals import put, resampled

        steps = x.shape[2]
        travel = traveled(self.knots, steps)
        speed = drawn["speed"]
        whole = sum(speed[:, k] * travel[k, -1] for k in range(self.knots))
        weight = put(speed * ((steps - 1) / np.maximum(whole, 1e-300))[:, None], x, exact=True)
        basis = put(travel, x, exact=True)
        position = weight[:, :1] * basis[0]
        for k in range(1, self.knots):
            position += weight[:, k : k + 1] * basis[k]
        return resampled(x, position)


@lru_cache(maxsize=16)
def traveled(knots: int, steps: int) -> Floats:
    """`[knots, steps]`: the way until each step at a speed of 1 at one knot that falls to 0 at its neighbors.

    >>> traveled(2, 3)
    array([[0.  , 0.75, 1.  ],
           [0.  , 0.25, 1.  ]])
    """
    places = np.linspace(0, knots - 1, steps)
    speeds = np.maximum(0, 1 - np.abs(places - np.arange(knots)[:, None]))
    found = np.zeros((knots, steps))
    found[:, 1:] = np.cumsum((speeds[:, 1:] + speeds[:, :-1]) / 2, axis=1)
    return found

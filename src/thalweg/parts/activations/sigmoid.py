"""Sigmoid (L03)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Sigmoid(Activation):
    r"""The logistic function: squashes to (0, 1) and saturates on both sides (L03).

        φ(x) = 1 / (1 + e⁻ˣ),    φ′(x) = φ(x) (1 − φ(x)) ≤ 1/4

    Each layer of it shrinks a gradient to a quarter at best, and its outputs are never centered on 0. Between layers
    others train better (L07); it belongs where a number must be a probability or a gate.

    >>> import torch
    >>> Sigmoid().function(torch.tensor([-2.0, 0.0, 2.0]))
    tensor([0.1192, 0.5000, 0.8808])

    Source: Verhulst 1838; Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural
    networks". As `torch.nn.Sigmoid`.
    """

    def function(self, x: "Tensor") -> "Tensor":
        return x.sigmoid()

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.Sigmoid()

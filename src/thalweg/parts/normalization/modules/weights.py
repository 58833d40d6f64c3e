"""Weights of linear and convolutional layers, unit by unit."""

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized


class StandardizedWeight(nn.Module):
    """The parametrization of `tw.normalization.WeightStandardization`.

    Args:
        eps: added to the variance.
        scaled: whether to divide by √fan-in.
        transposed_groups: groups of a transposed convolution, whose weight is `[in, out / groups, ...]`; None for
            layers with the units in dimension 0.

    >>> import torch
    >>> StandardizedWeight(eps=1e-8, scaled=False)(torch.tensor([[1.0, 3.0], [0.0, 9.0]]))
    tensor([[-1.,  1.],
            [-1.,  1.]])
    """

    def __init__(self, *, eps: float, scaled: bool, transposed_groups: int | None = None) -> None:
        super().__init__()
        self.eps, self.scaled, self.transposed_groups = eps, scaled, transposed_groups

    def forward(self, weight: Tensor) -> Tensor:
        units = weight if self.transposed_groups is None else units_first(weight, self.transposed_groups)
        rows = units.flatten(1)
        # One pass, with float32 statistics of half precision.
        rows = F.layer_norm(rows, (rows.shape[1],), eps=self.eps)
        if self.scaled:
            rows = rows / math.sqrt(rows.shape[1])
        units = rows.reshape(units.shape)
        return units if self.transposed_groups is None else inputs_first(units, self.transposed_groups)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What is trained, from a weight that is assigned: it."""
        return weight

    def extra_repr(self) -> str:
        return f"eps={self.eps}, scaled={self.scaled}"


def units_first(weight: Tensor, groups: int) -> Tensor:
    """A transposed convolution's `[in, out / groups, ...]` as `[out, in / groups, ...]`."""
    return in_groups(weight, groups).transpose(1, 2).flatten(0, 1)


def inputs_first(units: Tensor, groups: int) -> Tensor:
    """The way back: `[out, in / groups, ...]` as `[in, out / groups, ...]`."""
    return in_groups(units, groups).transpose(1, 2).flatten(0, 1)


def in_groups(value: Tensor, groups: int) -> Tensor:
    return value.reshape(groups, value.shape[0] // groups, *value.shape[1:])


def transposed_groups(layer: Any) -> int | None:
    return layer.groups if isinstance(layer, _ConvTransposeNd) else None


def fan_in(layer: Any) -> int:
    """Weights that lead to one output unit.

    >>> fan_in(nn.Conv2d(8, 4, 3, groups=2)), fan_in(nn.ConvTranspose1d(8, 4, 3, groups=2)), fan_in(nn.Linear(8, 4))
    (36, 12, 8)
    """
    units = layer.out_channels if isinstance(layer, _ConvNd) else layer.out_features
    return int(layer.weight.numel() // units)


def obstacle(layer: nn.Module) -> str:
    """Why a layer's weight cannot be parametrized; empty where it can."""
    if not isinstance(layer, nn.Linear | _ConvNd):
        return "it is neither linear nor convolutional"
    if is_parametrized(layer, "weight"):
        return "its weight is parametrized already"
    if "weight" not in layer._parameters:
        return "its weight is computed before each call, from parameters of other names"
    if is_lazy(layer.weight):
        return "its shape is known only after a first call; call the network once before"
    return ""

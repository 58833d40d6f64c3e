"""Batch norm in evaluation mode as part of the linear map before it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.parts.normalization.modules.weights import inputs_first, transposed_groups, units_first


@torch.no_grad()
def fold_(layer: Any, norm: _BatchNorm) -> None:
    """Changes weight and bias of a linear or convolutional layer to those of layer and norm together.

    With μ̂, σ̂², γ, β, ε of the norm, per output unit:

        s = γ / √(σ̂² + ε),     W ← s W,     b ← s (b − μ̂) + β

    in float64, rounded once.

    Args:
        layer: linear, convolutional or transposed, with groups or without; a bias is added where it has none.
        norm: the batch norm that alone reads its output, with running estimates.

    >>> layer, norm = nn.Conv1d(2, 3, 2, bias=False).eval(), nn.BatchNorm1d(3).eval()
    >>> _ = norm.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    >>> x = torch.randn(4, 2, 5)
    >>> before = norm(layer(x))
    >>> fold_(layer, norm)
    >>> torch.testing.assert_close(layer(x), before)

    Difference from `torch.nn.utils.fusion`: transposed convolutions with groups too, and no digits lost on the way.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -scale * norm.running_mean.double()
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    if layer.bias is not None:
        shift = shift + scale * layer.bias.double()
    layer.weight.copy_(scaled(layer.weight.double(), scale, transposed_groups(layer)))
    if layer.bias is None:
        layer.bias = nn.Parameter(shift.to(layer.weight.dtype), requires_grad=layer.weight.requires_grad)
    else:
        layer.bias.copy_(shift)


def scaled(weight: Tensor, scale: Tensor, groups: int | None) -> Tensor:
    """Each output unit's weights times its scale; `groups` are those of a transposed convolution."""
    units = weight if groups is None else units_first(weight, groups)
    units = units * scale.view(-1, *[1] * (units.dim() - 1))
    return units if groups is None else inputs_first(units, groups)

"""Convolutions: the members' channels side by side, as groups of one convolution.

A convolution's result lies in memory as `[B, K·C, ...]` and is seen as `[K, B, C, ...]`. Functions of single numbers
keep that order, so that the next convolution takes it without a copy.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.train.population.each import Each, Rule, Value, rank, spread


def beside(value: Value, members: int) -> Tensor:
    """`[B, K·C, ...]` of the members' `[B, C, ...]`."""
    return spread(value, members).transpose(0, 1).flatten(1, 2)


def apart(tensor: Tensor, members: int) -> Each:
    """The members' `[B, C, ...]` of `[B, K·C, ...]`."""
    return Each(torch.unflatten(tensor, 1, (members, -1)).transpose(0, 1))


def is_beside(tensor: Tensor) -> bool:
    """Whether `[K, B, C, ...]` lies in memory as `[B, K·C, ...]`."""
    return tensor.dim() > 2 and tensor.stride(0) < tensor.stride(1)


def joined(weight: Tensor) -> Tensor:
    return weight.flatten(0, 1)


def of(function: Any, spatial: int) -> Rule:
    """The rule of a convolution over so many dimensions."""

    def convolution(
        run: Any,
        input: Value,  # noqa: A002
        weight: Value,
        bias: Value | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Any:
        if rank(input) != spatial + 2:
            return NotImplemented
        if not isinstance(weight, Each):
            return shared_weight(function, input, weight, bias, (stride, padding, dilation, groups))
        if isinstance(input, Each) or groups > 1:
            x, groups = beside(input, run.members), groups * run.members
        else:
            x = input  # all members' filters on the one batch
        return grouped(function, x, weight, bias, (stride, padding, dilation, groups), run.members)

    return convolution


def transposed_of(function: Any, spatial: int) -> Rule:
    """The rule of a transposed convolution over so many dimensions."""

    def convolution(
        run: Any,
        input: Value,  # noqa: A002
        weight: Value,
        bias: Value | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Any:
        if rank(input) != spatial + 2:
            return NotImplemented
        if not isinstance(weight, Each):
            return shared_weight(function, input, weight, bias, (stride, padding, output_padding, groups, dilation))
        settings = (stride, padding, output_padding, groups * run.members, dilation)
        return grouped(function, beside(input, run.members), weight, bias, settings, run.members)

    return convolution


def grouped(
    function: Any, x: Tensor, weight: Each, bias: Value | None, settings: tuple[Any, ...], members: int
) -> Each:
    """One convolution with the filters of all members side by side."""
    offset = spread(bias, members).flatten() if bias is not None else None
    return apart(function(x, joined(weight.tensor), offset, *settings), members)


def shared_weight(function: Any, x: Value, weight: Tensor, bias: Value | None, settings: tuple[Any, ...]) -> Any:
    """A convolution whose filters all members share: their rows are one batch."""
    if not isinstance(x, Each) or isinstance(bias, Each):
        return NotImplemented
    result = function(x.tensor.flatten(0, 1), weight, bias, *settings)
    return Each(torch.unflatten(result, 0, x.tensor.shape[:2]))


RULES: dict[Any, Rule] = {
    torch.conv1d: of(torch.conv1d, 1),
    torch.conv2d: of(torch.conv2d, 2),
    torch.conv3d: of(torch.conv3d, 3),
    torch.conv_transpose1d: transposed_of(F.conv_transpose1d, 1),
    torch.conv_transpose2d: transposed_of(F.conv_transpose2d, 2),
    torch.conv_transpose3d: transposed_of(F.conv_transpose3d, 3),
}

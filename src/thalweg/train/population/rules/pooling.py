"""What treats each channel of each row by itself (pooling, resizing, padding): members are more rows, or channels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.train.population.each import Each, Rule, Run, Value
from thalweg.train.population.rules.convolution import is_beside

POOLING = ("max_pool", "avg_pool", "lp_pool", "adaptive_max_pool", "adaptive_avg_pool")


def per_channel(function: Callable[..., Any], x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """`function` of `[N, C, ...]` on `[K, B, C, ...]`, with K where no copy is needed."""
    lead = x.shape[:2]
    if is_beside(x):
        members, channels = x.shape[0], x.shape[2]
        found = function(x.transpose(0, 1).flatten(1, 2), *args, **kwargs)
        return each_of(found, lambda t: torch.unflatten(t, 1, (members, channels)).transpose(0, 1))
    return each_of(function(x.flatten(0, 1), *args, **kwargs), lambda t: torch.unflatten(t, 0, lead))


def each_of(found: Any, shape: Callable[[Tensor], Tensor]) -> Any:
    """One result, or several."""
    return Each(shape(found)) if isinstance(found, Tensor) else tuple(Each(shape(part)) for part in found)


def pooling_of(function: Any, spatial: int) -> Rule:
    """The rule of a function over the last dimensions, so many."""

    def pool(run: Run, input: Value, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
        if not isinstance(input, Each):
            return NotImplemented
        if input.rank == spatial + 1:  # without a batch: members are rows
            return each_of(function(input.tensor, *args, **kwargs), lambda t: t)
        return per_channel(function, input.tensor, *args, **kwargs)

    return pool


def pad(run: Run, input: Value, pad: Any, mode: str = "constant", value: float | None = None) -> Any:  # noqa: A002
    if not isinstance(input, Each):
        return NotImplemented
    if mode == "constant" or input.rank == len(pad) // 2 + 1:
        return Each(F.pad(input.tensor, pad, mode, value))
    return per_channel(F.pad, input.tensor, pad, mode, value)


def interpolate(run: Run, input: Value, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
    return per_channel(F.interpolate, input.tensor, *args, **kwargs) if isinstance(input, Each) else NotImplemented


def rows_of(function: Any, least: int) -> Rule:
    """The rule of a function of `[N, C, ...]` of at least so many dimensions, in which members are more rows."""

    def rows(run: Run, input: Value, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
        if not isinstance(input, Each) or input.rank < least:
            return NotImplemented
        lead = input.tensor.shape[:2]
        return each_of(function(input.tensor.flatten(0, 1), *args, **kwargs), lambda t: torch.unflatten(t, 0, lead))

    return rows


def leading(function: Any) -> Rule:
    """The rule of a function that takes any leading dimensions."""

    def lead(run: Run, input: Value, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
        return Each(function(input.tensor, *args, **kwargs)) if isinstance(input, Each) else NotImplemented

    return lead


def pooling_rules() -> dict[Any, Rule]:
    found: dict[Any, Rule] = {}
    for name in POOLING:
        for spatial in (1, 2, 3):
            if (function := getattr(F, f"{name}{spatial}d", None)) is not None:
                found[function] = pooling_of(function, spatial)
    return found


RULES: dict[Any, Rule] = {
    **pooling_rules(),
    F.pad: pad,
    F.interpolate: interpolate,
    F.unfold: rows_of(F.unfold, 4),
    F.fold: rows_of(F.fold, 3),
    F.local_response_norm: rows_of(F.local_response_norm, 3),
    F.pixel_shuffle: leading(F.pixel_shuffle),
    F.pixel_unshuffle: leading(F.pixel_unshuffle),
}

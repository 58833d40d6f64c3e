"""Normalizations. A batch norm of all members is one over all their channels."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.train.population.each import Each, Rule, Run, Value, aligned, rank, spread
from thalweg.train.population.rules.convolution import apart, beside


def flat(value: Value | None, members: int) -> Tensor | None:
    """`[K·C]` of the members' `[C]`, a view where these lie one after the other."""
    return None if value is None else spread(value, members).flatten()


def batch_norm(
    run: Run,
    input: Value,  # noqa: A002
    running_mean: Value | None,
    running_var: Value | None,
    weight: Value | None = None,
    bias: Value | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Batch norm with the running estimates `[K, C]` updated in place."""
    members = run.members
    mean, variance, scale, offset = (flat(v, members) for v in (running_mean, running_var, weight, bias))
    factor = 0.0 if momentum is None else momentum
    found = F.batch_norm(beside(input, members), mean, variance, scale, offset, training, factor, eps)
    if training:
        put_back(((running_mean, mean), (running_var, variance)))
    return apart(found, members)


def put_back(estimates: Iterable[tuple[Value | None, Tensor | None]]) -> None:
    """Running estimates that were updated as `[K·C]`, into buffers that this is no view of."""
    for value, updated in estimates:
        if value is None or updated is None:
            continue
        if not isinstance(value, Each):
            raise ValueError("Running estimates that are updated are buffers of each member, [K, C]; these are shared.")
        if not value.tensor.is_contiguous():
            value.tensor.copy_(updated.view_as(value.tensor))


def instance_norm(
    run: Run,
    input: Value,  # noqa: A002
    running_mean: Value | None = None,
    running_var: Value | None = None,
    weight: Value | None = None,
    bias: Value | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if rank(input) < 3:
        return NotImplemented
    members = run.members
    mean, variance, scale, offset = (flat(v, members) for v in (running_mean, running_var, weight, bias))
    found = F.instance_norm(beside(input, members), mean, variance, scale, offset, use_input_stats, momentum, eps)
    if use_input_stats:
        put_back(((running_mean, mean), (running_var, variance)))
    return apart(found, members)


def group_norm(
    run: Run,
    input: Value,  # noqa: A002
    num_groups: int,
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
) -> Any:
    members = run.members
    affine = (flat(weight, members), flat(bias, members))
    return apart(F.group_norm(beside(input, members), num_groups * members, *affine, eps), members)


def layer_norm(
    run: Run,
    input: Value,  # noqa: A002
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
) -> Any:
    if not isinstance(weight, Each) and not isinstance(bias, Each) and isinstance(input, Each):
        return Each(F.layer_norm(input.tensor, normalized_shape, weight, bias, eps))
    x = input.tensor if isinstance(input, Each) else input
    return affine_of(F.layer_norm(x, normalized_shape, None, None, eps), weight, bias, rank(input))


def rms_norm(
    run: Run,
    input: Value,  # noqa: A002
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    eps: float | None = None,
) -> Any:
    x = input.tensor if isinstance(input, Each) else input
    return affine_of(F.rms_norm(x, normalized_shape, None, eps), weight, None, rank(input))


def affine_of(x: Tensor, weight: Value | None, bias: Value | None, dims: int) -> Each:
    """`x * weight + bias` over the last dimensions; x is of each member, or of all."""
    scale, offset = aligned(weight, dims), aligned(bias, dims)
    found = x if scale is None else x * scale
    found = found if offset is None else found + offset
    return Each(found.to(x.dtype))  # in mixed precision weights are of a finer type than what they scale


def weight_norm(run: Run, v: Value, g: Value, dim: int = 0) -> Any:
    """`g v / |v|`, the norm over all dimensions but one, or over all for -1."""
    direction = spread(v, run.members)
    others = [d for d in range(1, direction.dim()) if d != dim + 1]
    norm = torch.linalg.vector_norm(direction, dim=others, keepdim=True)
    return Each(direction * (aligned(g, direction.dim() - 1) / norm))


RULES: dict[Any, Rule] = {
    F.batch_norm: batch_norm,
    F.instance_norm: instance_norm,
    F.group_norm: group_norm,
    F.layer_norm: layer_norm,
    F.rms_norm: rms_norm,
    torch._weight_norm: weight_norm,
}

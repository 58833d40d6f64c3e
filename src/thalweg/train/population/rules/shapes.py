"""Shapes: a member's dimensions come after K, so that those counted from the front shift by one."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.train.population.each import Each, Rule, Run, Value, map_values, shifted, spread

Maker = Callable[[Any], Rule]


def given_sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """Of `f(2, 3)` and of `f((2, 3))`."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], Sequence) else sizes


def view(x: Tensor, *shape: Any, size: Any = None) -> Any:
    if any(isinstance(part, torch.dtype) for part in shape):
        return x.view(*shape)
    return x.reshape(len(x), *given_sizes(shape or (size,)))


def reshape(x: Tensor, *sizes: Any, shape: Any = None) -> Any:
    return x.reshape(len(x), *given_sizes(sizes or (shape,)))


def view_as(x: Tensor, other: Value) -> Tensor:
    return x.reshape(len(x), *other.shape)


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    return x.unsqueeze(1) if x.dim() == 1 else x.flatten(shifted(start_dim), shifted(end_dim))


def unflatten(x: Tensor, dim: int, sizes: Any) -> Tensor:
    return torch.unflatten(x, shifted(dim), sizes)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    return x.transpose(shifted(dim0), shifted(dim1))


def permute(x: Tensor, *args: Any, dims: Any = None) -> Tensor:
    return x.permute(0, *(d % (x.dim() - 1) + 1 for d in given_sizes(args or (dims,))))


def movedim(x: Tensor, source: Any, destination: Any) -> Tensor:
    return x.movedim(moved(source), moved(destination))


def moved(dims: Any) -> Any:
    return shifted(dims) if isinstance(dims, int) else tuple(map(shifted, dims))


def reverse(x: Tensor) -> Tensor:
    """`x.T`, `x.t()`."""
    return x.permute(0, *range(x.dim() - 1, 0, -1))


def swap_last(x: Tensor) -> Tensor:
    return x.mT


def squeeze(x: Tensor, dim: Any = None) -> Tensor:
    if dim is None:
        return x.reshape(len(x), *(size for size in x.shape[1:] if size != 1))
    return x.squeeze(moved(dim))


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    return x.unsqueeze(shifted(dim))


def expand(x: Tensor, *args: Any, size: Any = None) -> Tensor:
    sizes = given_sizes(args or (size,))
    return x.view(len(x), *[1] * (len(sizes) - x.dim() + 1), *x.shape[1:]).expand(-1, *sizes)


def expand_as(x: Tensor, other: Value) -> Tensor:
    return expand(x, *other.shape)


def repeat(x: Tensor, *args: Any, repeats: Any = None) -> Tensor:
    counts = given_sizes(args or (repeats,))
    return x.view(len(x), *[1] * (len(counts) - x.dim() + 1), *x.shape[1:]).repeat(1, *counts)


def split(x: Tensor, split_size: Any = None, dim: int = 0, *, split_size_or_sections: Any = None) -> Any:
    return x.split(split_size if split_size is not None else split_size_or_sections, shifted(dim))  # type: ignore[no-untyped-call]


def chunk(x: Tensor, chunks: int, dim: int = 0) -> Any:
    return x.chunk(chunks, shifted(dim))


def unbind(x: Tensor, dim: int = 0) -> Any:
    return x.unbind(shifted(dim))


def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    return x.narrow(shifted(dim), start, length)


def select(x: Tensor, dim: int, index: int) -> Tensor:
    return x.select(shifted(dim), index)


def flip(x: Tensor, *args: Any, dims: Any = None) -> Tensor:
    return x.flip([shifted(dim) for dim in given_sizes(args or (dims,))])


def roll(x: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    if dims is None or dims == ():
        return x.flatten(1).roll(shifts, 1).view_as(x)
    return x.roll(shifts, moved(dims))


def on_each(rule: Any) -> Maker:
    """A rule of the tensor `[K, *shape]`, with the function's other arguments."""

    def of(function: Any) -> Rule:
        def shape(run: Run, input: Value, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
            if not isinstance(input, Each):
                return NotImplemented
            return map_values(Each, rule(input.tensor, *args, **kwargs))

        return shape

    return of


def cat(function: Any) -> Rule:
    def cat(run: Run, tensors: Sequence[Value], dim: int = 0) -> Any:
        if any(value.shape == torch.Size((0,)) for value in tensors):
            return NotImplemented  # torch leaves such tensors out, whatever the others' shape
        return Each(torch.cat([spread(value, run.members) for value in tensors], shifted(dim)))

    return cat


def stack(function: Any) -> Rule:
    def stack(run: Run, tensors: Sequence[Value], dim: int = 0) -> Any:
        return Each(torch.stack([spread(value, run.members) for value in tensors], shifted(dim)))

    return stack


NAMES: dict[str, Maker] = {
    **{
        name: on_each(rule)
        for name, rule in {
            "view": view,
            "reshape": reshape,
            "view_as": view_as,
            "reshape_as": view_as,
            "flatten": flatten,
            "unflatten": unflatten,
            "transpose": transpose,
            "swapaxes": transpose,
            "swapdims": transpose,
            "permute": permute,
            "movedim": movedim,
            "moveaxis": movedim,
            "T": reverse,
            "t": reverse,
            "mT": swap_last,
            "squeeze": squeeze,
            "unsqueeze": unsqueeze,
            "expand": expand,
            "broadcast_to": expand,
            "expand_as": expand_as,
            "repeat": repeat,
            "split": split,
            "split_with_sizes": split,
            "chunk": chunk,
            "unbind": unbind,
            "narrow": narrow,
            "select": select,
            "flip": flip,
            "roll": roll,
        }.items()
    },
    **dict.fromkeys(("cat", "concat", "concatenate"), cat),
    "stack": stack,
}

"""Values of a population: one per member, or one for all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from thalweg.train.population.tape import NotBatched


class Each:
    """A tensor of each member.

    Args:
        tensor: `[K, *shape]`.
    """

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    @property
    def rank(self) -> int:
        """Of a member's tensor."""
        return self.tensor.dim() - 1

    @property
    def shape(self) -> torch.Size:
        """Of a member's tensor."""
        return self.tensor.shape[1:]


Value = Each | Tensor  # a tensor is shared by all members


class Noise(Protocol):
    """What draws the members' noise. Each draw of a forward pass has a number, in the order of the calls."""

    def dropout(self, x: Tensor, p: float, *, layer: int, kind: str = "elements") -> Tensor:
        """Dropout of `x` `[K, *shape]`.

        Args:
            x: the members' tensors.
            p: as the network has it.
            layer: number of the draw.
            kind: "elements", "channels" (one draw per row and channel), "alpha" or "alpha channels".
        """

    def bernoulli(self, shape: torch.Size, keep: float, *, layer: int, dtype: torch.dtype) -> Tensor:
        """`[K, *shape]`, 1 with probability `keep`, else 0."""


@dataclass
class Run:
    """What a rule knows besides its arguments.

    Args:
        members: K.
        noise: draws the members' noise; None leaves all dropout out.
        layer: number of the call's first draw.
    """

    members: int
    noise: Noise | None = None
    layer: int = 0


Rule = Callable[..., Any]  # (run, *args, **kwargs) -> values; NotImplemented where only vmap knows


def spread(value: Value, members: int) -> Tensor:
    """`[K, *shape]` of any value; of a shared one without a copy."""
    return value.tensor if isinstance(value, Each) else value.expand(members, *value.shape)


def rank(value: Value) -> int:
    """Dimensions of a member's tensor."""
    return value.rank if isinstance(value, Each) else value.dim()


def raw(value: Any) -> Any:
    return value.tensor if isinstance(value, Each) else value


def aligned(value: Any, dims: int) -> Any:
    """A value that broadcasts against members' tensors of `dims` dimensions."""
    if not isinstance(value, Each):
        return value
    tensor = value.tensor
    missing = dims - value.rank
    return tensor if missing <= 0 else tensor.view(len(tensor), *[1] * missing, *value.shape)


def shifted(dim: int) -> int:
    """A member's dimension among those of `[K, *shape]`: those from the end stay."""
    return dim + 1 if dim >= 0 else dim


def map_values(function: Callable[[Any], Any], value: Any) -> Any:
    """`function` on each leaf of a nesting of tuples, lists and dicts."""
    if isinstance(value, tuple) and not isinstance(value, torch.Size):
        items = [map_values(function, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [map_values(function, item) for item in value]
    if isinstance(value, dict):
        return {key: map_values(function, item) for key, item in value.items()}
    return function(value)


def one_by_one(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`function` on each member by `torch.func.vmap`: right for whatever torch can batch, if not always fast."""
    tensors: list[Tensor] = []

    def take(leaf: Any) -> Any:
        if not isinstance(leaf, Each):
            return leaf
        tensors.append(leaf.tensor)
        return Place(len(tensors) - 1)

    template = map_values(take, (args, kwargs))

    def single(*own: Tensor) -> Any:
        filled, named = map_values(lambda leaf: own[leaf.number] if isinstance(leaf, Place) else leaf, template)
        result = function(*filled, **named)
        return list(result) if isinstance(result, tuple) else result

    return map_values(lambda leaf: Each(leaf), torch.func.vmap(single)(*tensors))


def in_turn(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`function` on one member after the other."""
    members = next(len(leaf.tensor) for leaf in leaves_of((args, kwargs)) if isinstance(leaf, Each))
    found = []
    for k in range(members):
        own, named = map_values(partial(of_member, k), (args, kwargs))
        result = function(*own, **named)
        found.append(list(result) if isinstance(result, tuple) else result)
    return together(found)


def of_member(k: int, leaf: Any) -> Any:
    return leaf.tensor[k] if isinstance(leaf, Each) else leaf


def together(results: list[Any]) -> Any:
    """Members' results of one form as one."""
    if isinstance(results[0], Tensor):
        return Each(torch.stack(results))
    return [together(list(parts)) for parts in zip(*results, strict=True)]


def leaves_of(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves_of(item)
    else:
        yield value


class Place:
    """Of an argument among those that differ by member."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


def float_or_refuse(value: Any, what: str) -> float:
    if isinstance(value, Each | Tensor):
        raise NotBatched(f"{what} is a tensor")
    return float(value)

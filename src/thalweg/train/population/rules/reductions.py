"""Sums, maxima, softmax and others along dimensions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.train.population.each import Each, Rule, Run, Value, map_values, shifted
from thalweg.train.population.rules.pointwise import pointwise

Maker = Callable[[Any], Rule]
REQUIRED, ALL = object(), object()  # in the place of a default


@dataclass(frozen=True)
class Along:
    """Where a function has its dimension.

    Args:
        position: among the arguments after the tensor.
        default: the dimension where none is given; `ALL` for all of them.
        names: of the argument.
        total: what reduces all dimensions, where it is another function.
    """

    position: int = 0
    default: Any = REQUIRED
    names: tuple[str, ...] = ("dim", "axis")
    total: Callable[..., Tensor] | None = None

    def __call__(self, function: Any) -> Rule:
        def along(run: Run, input: Value, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
            if not isinstance(input, Each) or input.rank == 0:
                return NotImplemented
            if any(isinstance(arg, Each | Tensor) for arg in args):
                return pointwise(function)(run, input, *args, **kwargs)  # torch.max(x, y)
            name = next((name for name in self.names if name in kwargs), None)
            given = kwargs[name] if name else args[self.position] if len(args) > self.position else self.default
            if given is None and self.default is ALL:
                given = ALL
            if given is ALL and not kwargs.get("keepdim", False) and len(args) <= self.position + 1:
                others = {key: value for key, value in kwargs.items() if key not in (*self.names, "keepdim")}
                rows = input.tensor.flatten(1)
                return Each((self.total or function)(rows, *args[: self.position], dim=1, **others))
            if isinstance(given, bool) or not is_dims(given):
                return NotImplemented
            dims = shifted(given) if isinstance(given, int) else tuple(map(shifted, given))
            if name or len(args) <= self.position:
                kwargs = {**kwargs, name or self.names[0]: dims}
            else:
                args = (*args[: self.position], dims, *args[self.position + 1 :])
            return map_values(Each, leaves(function(input.tensor, *args, **kwargs)))

        return along


def is_dims(given: Any) -> bool:
    return isinstance(given, int) or (isinstance(given, tuple | list) and len(given) > 0)


def leaves(found: Any) -> Any:
    """Several results without their names."""
    return tuple(found) if isinstance(found, tuple) else found


NAMES: dict[str, Maker] = {
    **dict.fromkeys(("sum", "mean", "prod", "all", "any", "logsumexp", "nansum", "nanmean"), Along(default=ALL)),
    **dict.fromkeys(("std", "var", "amax", "amin", "argmax", "argmin"), Along(default=ALL)),
    "max": Along(default=ALL, total=torch.amax),
    "min": Along(default=ALL, total=torch.amin),
    **dict.fromkeys(("softmax", "log_softmax", "softmin", "cumsum", "cumprod", "logcumsumexp"), Along()),
    **dict.fromkeys(("sort", "argsort", "glu"), Along(default=-1)),
    "topk": Along(position=1, default=-1),
    "normalize": Along(position=1, default=1),
}

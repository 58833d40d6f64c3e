"""Elements picked and set by `x[...]`: the members' dimension comes first, whole."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thalweg.train.population.each import Each, Rule, Run, Value, aligned, rank
from thalweg.train.population.tape import NotBatched

Maker = Callable[[Any], Rule]


def parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def is_plain(index: tuple[Any, ...]) -> bool:
    """Whether K in front leaves the order of the result's dimensions: one tensor as an index, or several in a row."""
    places = [number for number, part in enumerate(index) if isinstance(part, Tensor | list)]
    differs = any(isinstance(part, Each) for part in index)
    return not differs and (not places or places[-1] - places[0] == len(places) - 1)


def getitem(function: Any) -> Rule:
    def pick(run: Run, input: Value, index: Any) -> Any:  # noqa: A002
        index = parts(index)
        if isinstance(input, Each) and len(index) == 1 and isinstance(index[0], Each):
            return rows_of(input.tensor, index[0].tensor)
        if not isinstance(input, Each) or not is_plain(index):
            return NotImplemented
        return Each(input.tensor[(slice(None), *index)])

    return pick


def rows_of(table: Tensor, rows: Tensor) -> Any:
    """Each member's rows of its own table, `[K, N, ...]`: one look-up in the tables one below the other."""
    if rows.dtype in (torch.bool, torch.uint8):
        return NotImplemented
    members, count = table.shape[:2]
    first = torch.arange(0, members * count, count, device=rows.device).view(-1, *[1] * (rows.dim() - 1))
    return Each(table.flatten(0, 1)[torch.where(rows < 0, rows + count, rows) + first])


def setitem(function: Any) -> Rule:
    def put(run: Run, input: Value, index: Any, value: Any) -> Any:  # noqa: A002
        index = parts(index)
        if not isinstance(input, Each) or not is_plain(index) or has_mask(index):
            raise NotBatched("elements are set by a mask, or by indices that differ by member")
        if isinstance(value, Each):
            value = aligned(value, rank(Each(input.tensor[(slice(None), *index)])))
        input.tensor[(slice(None), *index)] = value

    return put


def has_mask(index: tuple[Any, ...]) -> bool:
    return any(isinstance(part, Tensor) and part.dtype in (torch.bool, torch.uint8) for part in index)


NAMES: dict[str, Maker] = {"__getitem__": getitem, "__setitem__": setitem}

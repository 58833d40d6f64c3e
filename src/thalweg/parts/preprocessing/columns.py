"""The columns or channels of a tensor, and which of them share a unit."""

import torch
from torch import Tensor

from thalweg.parts.preprocessing.moments import Moments
from thalweg.parts.preprocessing.preparation import Per

NUM_LEVELS = 256  # a pixel of a byte; any affine scaling of it has no more levels
MIN_COLUMNS = 16  # the smallest picture, 4 × 4
SAMPLE_ROWS, SAMPLE_VALUES = 2048, 2**20


def columns(values: Tensor) -> Tensor:
    """Values as `[N, C, ...]`, C the columns or channels; of `[N, ., .]` the shorter dimension."""
    if values.ndim == 1:
        return values[:, None]
    return values.transpose(1, 2) if values.ndim == 3 and values.shape[2] < values.shape[1] else values


def as_rows(values: Tensor) -> Tensor:
    """`[N, C, ...]` as `[M, C]`: each place of a channel a row."""
    return values if values.ndim == 2 else values.movedim(1, -1).flatten(0, -2)


def layout(values: Tensor, per: Per) -> tuple[bool, tuple[int, ...]]:
    """Whether all columns share one number, and the shape in which the numbers broadcast against a row."""
    rank = values.ndim
    if per == "auto":
        per = "tensor" if rank == 1 or shares_one_number(values) else "column"
    if per == "tensor":
        return True, ()
    if rank == 1:
        return False, ()
    if rank == 3:
        _, first, second = values.shape
        return False, (second,) if second < first else (first, 1)
    return False, (values.shape[1], *[1] * (rank - 2))


def shares_one_number(values: Tensor) -> bool:
    if values.ndim == 3:
        return not has_own_units(values)
    return values.ndim == 2 and share_a_unit(values)


def has_own_units(values: Tensor) -> bool:
    """Whether the channels of `[N, ., .]` differ so much that a common scale would hide one."""
    moments = Moments.of(columns(sample(values)))
    std = moments.std[moments.std > 0]
    hidden = bool((std < moments.pooled().std / 100).any())
    return values.shape[1] != values.shape[2] and hidden and not has_few_levels(sample(values))


def share_a_unit(values: Tensor) -> bool:
    """Whether the columns `[N, F]` look like pixels: few levels altogether, most columns as wide as the widest."""
    if values.shape[1] < MIN_COLUMNS:
        return False
    some = sample(values)
    if not has_few_levels(some):
        return False
    width = some.amax(0).double() - some.amin(0).double()
    common = some.max().double() - some.min().double()
    return bool((width[width > 0] >= common / 2).double().mean() >= 2 / 3)


def has_few_levels(values: Tensor) -> bool:
    """Whether at most 256 different values occur."""
    return len(torch.unique(values)) <= NUM_LEVELS


def sample(values: Tensor) -> Tensor:
    """At most 2,048 rows from the whole length, and about a million values."""
    count = min(SAMPLE_ROWS, max(SAMPLE_VALUES // max(values[:1].numel(), 1), 1))
    return values[:: max(len(values) // count, 1)][:count]

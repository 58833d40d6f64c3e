"""The order in which rows come: whether batches hold single classes."""

import torch
from torch import Tensor

from thalweg.measure.data_shift import chi_square_level
from thalweg.readings import Reading

LEAST_BATCHES = 5
ROWS_PER_CLASS = 10
MOST_CLASSES = 1000
MOST_BATCHES = 1000  # that are looked at, from the first on


def describe_order(codes: Tensor, sizes: list[int]) -> list[Reading]:
    """Whether classes are spread over batches as by chance.

    Readings: `order.level`, the level of a chi-square test that classes and batches are independent; `order.largest`,
    the mean share of a batch's most frequent class, and `order.expected`, the same for the rows in random order;
    `order.run`, how many batches in a row have the same most frequent class, on average.

    >>> found = describe_order(torch.arange(600) // 100, [20] * 30)
    >>> [(r.name, round(r.value, 2)) for r in found]
    [('order.level', 0.0), ('order.largest', 1.0), ('order.expected', 0.29), ('order.run', 5.0)]
    """
    sizes = sizes[:MOST_BATCHES]
    codes = codes[: sum(sizes)]
    present, codes = torch.unique(codes, return_inverse=True)
    if len(sizes) < LEAST_BATCHES or not 2 <= len(present) <= MOST_CLASSES or sum(sizes) != len(codes):
        return []
    batch = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    table = counts_of(batch, codes, len(sizes), len(present))
    mixed = counts_of(
        batch, codes[torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))], *table.shape
    )
    largest = table.argmax(1)
    changes = int((largest[1:] != largest[:-1]).sum())
    values = {
        "order.level": chi_square_level(in_blocks(table)),
        "order.largest": float((table.amax(1) / table.sum(1)).mean()),
        "order.expected": float((mixed.amax(1) / mixed.sum(1)).mean()),
        "order.run": len(sizes) / (changes + 1),
    }
    return [Reading(name, value, count=len(sizes)) for name, value in values.items()]


def in_blocks(table: Tensor) -> Tensor:
    """Batches put together until each block has ten rows per class: a chi-square test wants five expected in a cell."""
    wanted = ROWS_PER_CLASS * table.shape[1]
    total = table.sum(1).cumsum(0)
    block = ((total - 1) // wanted).long()
    block = block.clamp(max=max(int(total[-1] // wanted) - 1, 0))  # what is left over goes to the last block
    whole = table.new_zeros(int(block[-1]) + 1, table.shape[1]).index_add_(0, block, table)
    return whole[whole.sum(1) > 0]  # a large batch may reach over several blocks


def counts_of(batch: Tensor, codes: Tensor, batches: int, classes: int) -> Tensor:
    """`[B, K]` rows of each class in each batch."""
    return (batch * classes + codes).bincount(minlength=batches * classes).reshape(batches, classes).double()

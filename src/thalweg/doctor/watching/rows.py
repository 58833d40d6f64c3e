"""Rows that passed through a loop, a few of each watched batch, in memory and bounded."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs, map_inputs, take, tensors_of

MOST_ROWS = 1024
MOST_BYTES = 64 * 2**20
FIRST_STEPS = 11  # that are watched one after the other
FIRST_ROWS, LATER_ROWS = 48, 32  # of one batch; what comes later finds room


def inputs_of(network: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Inputs | None:
    """The arguments of a call in one of the forms that the house knows; None where not all are tensors with rows.

    >>> inputs_of(nn.Linear(2, 1), (torch.zeros(3, 2),), {}).shape
    torch.Size([3, 2])
    """
    kwargs = {name: value for name, value in kwargs.items() if value is not None}
    given = [*args, *kwargs.values()]
    if not given or not all(isinstance(v, Tensor) and v.dim() and len(v) == len(given[0]) for v in given):
        return None
    if not kwargs:
        return args[0] if len(args) == 1 else tuple(args)
    try:
        return dict(inspect.signature(network.forward).bind(*args, **kwargs).arguments)
    except TypeError:
        return None


def form_of(inputs: Inputs, target: Tensor) -> tuple[Any, ...]:
    """What all kept rows must have in common."""
    tensors = (*tensors_of(inputs), target)
    return (type(inputs), *((t.shape[1:], t.dtype, t.device) for t in tensors))


class SeenRows:
    """Rows of the watched batches: the first few of each, so that those of neighboring batches stay comparable.

    Args:
        most: rows at most.

    >>> seen = SeenRows()
    >>> seen.add(0, torch.zeros(64, 3), torch.arange(64))
    >>> seen.count, seen.steps
    (48, [0])
    """

    def __init__(self, most: int = MOST_ROWS) -> None:
        self.most, self.count, self.bytes = most, 0, 0
        self.batches: list[tuple[int, Inputs, Tensor]] = []
        self.batch_size = 0
        self.form: tuple[Any, ...] | None = None
        self.odd = 0  # batches left out, because their rows have another shape

    @property
    def steps(self) -> list[int]:
        return [step for step, *_ in self.batches]

    def add(self, step: int, inputs: Inputs, target: Tensor) -> None:
        """Copies rows of a batch, while there is room."""
        size = len(target)
        self.batch_size = max(self.batch_size, size)
        form = form_of(inputs, target)
        if self.form not in (None, form):
            self.odd += 1
            return
        row_bytes = sum(t.nbytes for t in (*tensors_of(inputs), target)) // max(size, 1)
        count = min(size, FIRST_ROWS if step < FIRST_STEPS else LATER_ROWS, self.most - self.count)
        count = min(count, (MOST_BYTES - self.bytes) // max(row_bytes, 1))
        if count <= 0:
            return
        with torch.no_grad(), torch._C.DisableTorchFunction():
            # Of a batch that is the whole data, rows from all over it: it may be sorted.
            rows = torch.arange(0, size, max(size // count, 1), device=target.device)[:count]
            self.batches.append((step, take(map_inputs(Tensor.detach, inputs), rows), target.detach()[rows]))
        self.form, self.count, self.bytes = form, self.count + count, self.bytes + count * row_bytes

    def joined(self) -> tuple[Inputs, Tensor, Tensor] | None:
        """Inputs, targets and steps of all kept rows, those that came again left out; None where there are none."""
        if not self.batches:
            return None
        parts = [tensors_of(inputs) for _, inputs, _ in self.batches]
        together = [torch.cat(same) for same in zip(*parts, strict=True)]
        target = torch.cat([target for *_, target in self.batches])
        steps = torch.cat([torch.full((len(t),), step) for step, _, t in self.batches])
        rows = torch.tensor(first_ones([*together, target]))
        first = self.batches[0][1]
        values = iter(together)
        inputs = map_inputs(lambda _: next(values), first)
        return take(inputs, rows), target[rows.to(target.device)], steps[rows]


def first_ones(tensors: list[Tensor]) -> list[int]:
    """Numbers of the rows that are no copy of an earlier one."""
    flat = [t.reshape(len(t), -1).cpu().contiguous() for t in tensors]
    parts = [(t.float() if t.dtype == torch.bfloat16 else t).numpy() for t in flat]
    seen: dict[bytes, int] = {}
    for row in range(len(flat[0])):
        seen.setdefault(b"".join(part[row].tobytes() for part in parts), row)
    return list(seen.values())

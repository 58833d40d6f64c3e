"""Gradients that are clipped at the wrong place: after the optimizer's step, or while a scaler's factor is in them."""

from collections.abc import Iterator, Sequence
from statistics import median

import torch
from torch import Tensor

from thalweg.doctor.watching.sample import Sample
from thalweg.readings import Reading

SCALED = 64.0  # factor from which a loss is taken for that of a scaler, which begins with 65,536
EQUAL = 1e-3  # relative: norms of gradients that one limit was set to, in half precision as well
TINY = 1e-3  # no person limits a norm to less
LIMITS = (1e-3, 1e3)  # that persons set
BITES = 0.1  # of the gradient that is left
LEAST = 2  # steps


def shrunk(pairs: Sequence[tuple[Tensor, Tensor]]) -> float | None:
    """Norm of gradients over what it was right after the step; 1 where nothing changed or all was cleared; else None.

    The tensors are held themselves: setting `.grad` to None does not hide what was done to them before.

    >>> gradient = torch.tensor([3.0, 4.0])
    >>> before = gradient.clone()
    >>> _ = gradient.mul_(0.2)
    >>> round(shrunk([(gradient, before)]), 3)
    0.2
    """
    if not pairs:
        return None
    now, old = (torch.stack([p[k].detach().float().norm() for p in pairs]).norm() for k in (0, 1))
    if not bool(old > 0) or not bool(now > 0):  # synchronizes
        return 1.0
    return float(now / old)


def of_clipping(samples: Sequence[Sample]) -> Iterator[Reading]:
    """`loop.late_change` and `loop.clipped_scaled`.

    `loop.late_change` is the share of watched steps whose gradients had become smaller since the step before was made,
    with their mean factor as note. `loop.clipped_scaled` is the norm to which gradients were cut while they still held
    a scaler's factor; its note is that factor, its count the number of steps.
    """
    late = [s.late for s in samples if s.late is not None and s.step > 0]
    smaller = [factor for factor in late if factor < 1 - EQUAL]
    if smaller:
        note = f"{sum(smaller) / len(smaller):.3g}"
        yield Reading("loop.late_change", len(smaller) / len(late), count=len(late), note=note)
    cut = [(s.scale, s.stepped * s.scale, s.raw) for s in samples if s.raw and s.stepped]
    if len(cut) < LEAST:
        return
    limit, left = median(c for _, c, _ in cut), median(c / raw for _, c, raw in cut)
    same = all(abs(c / limit - 1) < EQUAL for _, c, _ in cut)
    scale = cut[-1][0]
    if same and left < BITES and limit / scale < TINY and LIMITS[0] <= limit <= LIMITS[1]:
        yield Reading("loop.clipped_scaled", limit, count=len(cut), note=f"{scale:g}")

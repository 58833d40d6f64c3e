"""Kernels of torch that compute more than their names say, and what per-parameter counts need on the host."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CACHED = 2**16  # weights: with their gradients, state and what is computed on the way they fill a second-level cache
ALMOST_ONE = 1 - 2**-53  # as β₂ it leaves v as it is: 1 itself would have a correction of 0


def divide_(
    targets: "list[Tensor]",
    gradients: "list[Tensor]",
    means: "list[Tensor]",
    squares: "list[Tensor]",
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled: bool = True,
) -> None:
    """m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², then θ ← (1 − ηλ)θ − η m / (√v + ε), in one pass.

    It is the fused kernel of AdamW (of Adam, where the decay is not `decoupled`) after infinitely many steps, when its
    corrections are 1: whoever has corrections of another kind puts them into η and ε.
    """
    import torch

    fused = torch._fused_adamw_ if decoupled else torch._fused_adam_
    fused(
        targets,
        gradients,
        means,
        squares,
        [],
        [infinite_step(squares[0].device)] * len(squares),
        lr=lr,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=weight_decay,
        eps=eps,
        amsgrad=False,
        maximize=False,
    )


def descend_(targets: "list[Tensor]", directions: "list[Tensor]", *, lr: float, weight_decay: float = 0.0) -> None:
    """θ ← θ − η (d + λθ), in one pass; up to twice as fast as `torch._foreach_add_` on a CPU.

    With η = −w and λ = −1 it is θ ← θ + w (d − θ), a `lerp`.
    """
    import torch

    if is_half_on_cpu(targets[0]):
        if weight_decay:
            torch._foreach_mul_(targets, 1 - lr * weight_decay)
        torch._foreach_add_(targets, directions, alpha=-lr)
        return
    torch._fused_sgd_(
        targets,
        directions,
        [],
        lr=lr,
        weight_decay=weight_decay,
        momentum=0.0,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    )


def is_half_on_cpu(parameter: "Tensor") -> bool:
    """Where torch's fused SGD leaves most entries as they were (pytorch/pytorch#191763, up to 2.13 at least)."""
    return parameter.is_cpu and parameter.itemsize == 2


@cache
def infinite_step(device: "torch.device") -> "Tensor":
    """A step count at which every bias correction is 1."""
    import torch

    return torch.tensor(float("inf"), device=device)


def whole(counts: "list[Tensor]") -> "Tensor | None":
    """The one tensor that the counts are all the views of; None where some are missing, or were loaded."""
    base = counts[0]._base
    if base is not None and len(counts) == base.numel() and all(count._base is base for count in counts):
        return base
    return None


def alike(*counts: "list[Tensor]") -> list[tuple[tuple[float, ...], list[int]]]:
    """The positions with the same counts, mostly all: synchronizes, where these are not on the CPU.

    >>> import torch
    >>> alike([torch.tensor(3.0), torch.tensor(1.0), torch.tensor(3.0)])
    [((3.0,), [0, 2]), ((1.0,), [1])]
    """
    values = []
    for each in counts:
        base = whole(each)
        values.append([count.item() for count in each] if base is None else base.tolist())
    found: dict[tuple[float, ...], list[int]] = {}
    for position, value in enumerate(zip(*values, strict=True)):
        found.setdefault(value, []).append(position)
    return list(found.items())


def chosen(lists: "list[list[Tensor]]", positions: list[int]) -> "list[list[Tensor]]":
    """The items at these positions of each list; the lists themselves where that is all."""
    if len(positions) == len(lists[0]):
        return lists
    return [[tensors[i] for i in positions] for tensors in lists]


def in_cache(lists: "list[list[Tensor]]") -> "Iterator[list[list[Tensor]]]":
    """The lists in pieces that stay in a CPU's cache for several passes, large tensors cut along their memory.

    The tensors of one position are laid out alike and without gaps, so that flat views of them go together.
    """
    import torch

    sizes = [tensor.numel() for tensor in lists[0]]
    if not lists[0][0].is_cpu or sum(sizes) <= CACHED:
        yield lists
        return
    taken: list[int] = []
    for k, size in enumerate(sizes):
        if size > CACHED:
            cut = [torch.split(tensors[k].as_strided((size,), (1,)), CACHED) for tensors in lists]
            for pieces in zip(*cut, strict=True):
                yield [[piece] for piece in pieces]
            continue
        if taken and sum(sizes[i] for i in taken) + size > CACHED:
            yield [[tensors[i] for i in taken] for tensors in lists]
            taken = []
        taken.append(k)
    if taken:
        yield [[tensors[i] for i in taken] for tensors in lists]

"""The losses of K members from their outputs `[K, B, ...]` and one target `[B, ...]`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F

from thalweg.data.rows import map_tree
from thalweg.parts.metrics.forms import IGNORED, positions
from thalweg.train.losses import NAMED, LossFunction, like_target, step_loss
from thalweg.train.smoothing import smoothed_loss

Criterion = Callable[[Any, Tensor | None, Tensor | None], Tensor]  # outputs, target, weights [K, B] -> [K]
HALF = 0.5  # a loss is linear in the smoothing: two points tell it for every member


def criterion_of(loss: LossFunction, smoothing: Tensor | None = None, *, own: bool = False) -> Criterion:
    """The loss of each member, with a smoothing of labels of its own.

    The losses that have a name are taken of all members in one call. Any other is mapped over the members, which needs
    it to be traceable: no `item()`, no branch on a value.

    Args:
        loss: `(output, target) -> scalar`; takes the rows' weights as a third argument where there are any.
        smoothing: `[K]` float64; None where no member smooths.
        own: whether the target is `[K, B, ...]`, each member's own.

    Raises:
        UsageError: for a loss that cannot be smoothed.
    """
    if loss is step_loss:
        return lambda outputs, _target, _weight: outputs.loss
    plain = native(loss, own) or mapped(loss, own)
    if smoothing is None:
        return plain
    soft_loss = smoothed_loss(loss, HALF)
    soft = mapped(soft_loss, own)

    def smoothed(outputs: Any, target: Tensor | None, weight: Tensor | None) -> Tensor:
        hard = plain(outputs, target, weight)
        return hard + (smoothing / HALF).to(hard.dtype) * (soft(outputs, target, weight) - hard)

    return smoothed


def mapped(loss: LossFunction, own: bool) -> Criterion:
    """Any loss, by `torch.func.vmap`."""

    def criterion(outputs: Any, target: Tensor | None, weight: Tensor | None) -> Tensor:
        placed = 0 if own else None
        if weight is None:
            return vmap(loss, in_dims=(0, placed))(outputs, target).flatten()
        return vmap(loss, in_dims=(0, placed, 0))(outputs, target, weight).flatten()

    return criterion


def native(loss: LossFunction, own: bool) -> Criterion | None:
    """A loss that has a name: the rows of all members in one call; None for any other."""
    each = ELEMENTS.get(loss)
    if each is None:
        return None

    def criterion(outputs: Any, target: Tensor | None, weight: Tensor | None) -> Tensor:
        assert target is not None
        lead, rows = outputs.shape[:2]
        spread = target if own else target.expand(lead, *target.shape)
        values, counted = each(outputs.flatten(0, 1), spread.flatten(0, 1))
        values = values.reshape(lead, rows, -1)
        wide = spread.dim() > 2
        if weight is not None and not wide:
            counted = None  # as the loss has it: a row that is -100 has a loss of 0, and its weight counts
        share = None if counted is None else counted.reshape(values.shape).to(values.dtype)
        if weight is not None:
            of_row = weight[:, :, None].expand(values.shape)
            share = of_row if share is None else share * of_row
        if share is None:
            return values.mean((1, 2))
        total = share.sum((1, 2))
        if weight is not None or wide:  # a mean over nothing is 0 here, and NaN as torch has it below
            total = total.where(total > 0, 1)
        return (values * share).sum((1, 2)) / total

    return criterion


Elements = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]  # -> values, and which of them count


def per_class(function: Callable[..., Tensor]) -> Elements:
    def elements(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        logits, true = (output, target) if target.dim() < 2 else positions(output, target)
        return function(logits, true, reduction="none"), None if target.is_floating_point() else true != IGNORED

    return elements


def per_number(function: Callable[..., Tensor]) -> Elements:
    return lambda output, target: (function(like_target(output, target), target, reduction="none"), None)


ELEMENTS: dict[LossFunction, Elements] = {
    NAMED["cross_entropy"]: per_class(F.cross_entropy),
    NAMED["nll"]: per_class(F.nll_loss),
    NAMED["binary_cross_entropy"]: per_number(F.binary_cross_entropy_with_logits),
    NAMED["mse"]: per_number(F.mse_loss),
    NAMED["mae"]: per_number(F.l1_loss),
    NAMED["huber"]: per_number(F.huber_loss),
}


def chosen_rows(masks: Tensor, positions: Tensor) -> Tensor:
    """`[K, B]` which rows of a batch each member trains on, by `[K, N]` masks and the rows' positions `[B]`."""
    return masks.index_select(1, positions)


def as_weights(weight: Tensor | None, chosen: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """`[K, B]` weights of the rows for each member; None where all count alike."""
    if chosen is None:
        return weight
    return chosen.to(dtype) if weight is None else chosen * weight


def members_of(value: Any, slot: int) -> Any:
    """One member's part of outputs `[K, ...]`."""
    return map_tree(lambda tensor: tensor[slot], value)

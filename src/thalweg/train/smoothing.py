"""Label smoothing: the training loss against labels that are a little unsure."""

import copy
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.errors import UsageError
from thalweg.train.losses import (
    NAMED,
    LabelWeighted,
    LossFunction,
    OwnWeighted,
    WeightedLoss,
    binary_cross_entropy,
    per_class,
    step_loss,
)

BINARY = (binary_cross_entropy, F.binary_cross_entropy_with_logits)


def smoothed_loss(loss: LossFunction, share: float) -> LossFunction:
    r"""A loss whose labels give a share s of themselves to all classes alike.

        q = (1 − s) onehot(y) + s / K        of K classes, for each row or position
        q = (1 − s) y + s / 2                of a yes or no: a binary target, each label of several

    A network that is asked for certainty drives its logits apart without end; asked for q it has a finite best answer,
    log(K (1 − s) / s + 1) between the true logit and the others. Weights of classes and rows, and
    positions that are -100, count as without it.

    Args:
        loss: cross-entropy or binary cross-entropy of logits, by name, as torch's function or module, with or without
            weights.
        share: s, from 0, which changes nothing, to below 1.

    Raises:
        UsageError: for another loss: one without classes, one of the user's own, or one that smooths already.

    >>> import torch
    >>> output, target = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    >>> smoothed_loss(NAMED["cross_entropy"], 0.1)(output, target)
    tensor(0.2269)
    >>> nn.CrossEntropyLoss(label_smoothing=0.1)(output, target)
    tensor(0.2269)

    Source: Szegedy et al. 2016, "Rethinking the Inception architecture", section 7 (L32). torch's
    `CrossEntropyLoss(label_smoothing=)` for classes; torch has no form for yes or no, which is that of two classes.
    """
    if share == 0:
        return loss
    if loss is NAMED["cross_entropy"]:
        return per_class(partial(F.cross_entropy, label_smoothing=share))
    if loss is F.cross_entropy:
        return partial(F.cross_entropy, label_smoothing=share)
    if isinstance(loss, nn.CrossEntropyLoss) and loss.label_smoothing == 0:
        changed = copy.deepcopy(loss)
        changed.label_smoothing = share
        return changed
    if isinstance(loss, WeightedLoss):
        if is_binary(loss.plain):
            return SmoothedTargets(loss, share)
        return WeightedLoss(smoothed_loss(loss.plain, share))
    if is_binary(loss):
        return SmoothedTargets(loss, share)
    raise UsageError(refusal(loss, share))


def is_binary(loss: LossFunction) -> bool:
    return loss in BINARY or isinstance(loss, nn.BCEWithLogitsLoss | LabelWeighted)


class SmoothedTargets(nn.Module):
    """A loss of targets 0 and 1 that sees them moved towards 1/2."""

    def __init__(self, loss: LossFunction, share: float) -> None:
        super().__init__()
        self.loss, self.share = loss, share

    def forward(self, output: Tensor, target: Tensor, *weight: Tensor) -> Tensor:
        return self.loss(output, target * (1 - self.share) + self.share / 2, *weight)


def refusal(loss: LossFunction, share: float) -> str:
    """Why a loss cannot be smoothed, and what can be done."""
    asked = f"Plan field 'label_smoothing' got {share!r}, and"
    if isinstance(loss, nn.CrossEntropyLoss):
        return f"{asked} the loss has label_smoothing={loss.label_smoothing} of its own. Leave one of them out."
    if loss is step_loss:
        return f"{asked} your step computes the loss. Smooth in the step, and leave the field at 0."
    own = loss.loss if isinstance(loss, OwnWeighted) else loss
    known = next((name for name, function in NAMED.items() if function is own), None)
    name = known or getattr(own, "__name__", type(own).__name__)
    return (
        f"{asked} the loss {name!r} cannot be smoothed: only cross-entropy and binary cross-entropy of logits can. "
        "Take loss='cross_entropy' or 'binary_cross_entropy', smooth in the loss of your own, or leave the field at 0."
    )

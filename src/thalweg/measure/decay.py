"""What decay of the weights does beside the loss's own gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.parts.regularizers import Regularizer
from thalweg.readings import Reading


@torch.no_grad()
def decay_pull(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    *,
    weight_decay: float,
    regularizer: Regularizer | None = None,
    step: int | None = None,
) -> list[Reading]:
    """How hard the penalty pulls on the weights that it acts on, next to the gradient `g` of the loss there.

    Readings `decay.ratio`, `|p| / |g|` with the penalty's gradient `p = weight_decay * w + regularizer`, and
    `decay.balance`, `-g.p / |g|^2`: 1 where the penalty takes back all that the loss asks for, so that the weights
    stand still far from the loss's own minimum; about 0 where it does not matter.

    Args:
        parameters: those that decay acts on.
        gradients: of the loss alone, over as many rows as possible: noise makes `|g|` larger.
        weight_decay: the optimizer's factor, also of one that decays apart from the gradient.
        regularizer: whose `add_` adds to the gradient; None where there is none.
        step: of the reading.

    >>> w, g = [torch.tensor([3.0, 4.0])], [torch.tensor([-0.3, -0.4])]
    >>> [round(r.value, 3) for r in decay_pull(w, g, weight_decay=0.1)]
    [1.0, 1.0]
    """
    pairs = [(p.detach(), g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    if not pairs or (not weight_decay and regularizer is None):
        return []
    values = [p for p, _ in pairs]
    pulls = [weight_decay * p for p in values]
    if regularizer is not None:
        regularizer.add_(pulls, values)
    squared = total([g.double().square() for _, g in pairs])
    if not squared > 0:
        return []
    size = total([p.double().square() for p in pulls])
    inner = total([p.double() * g.double() for p, (_, g) in zip(pulls, pairs, strict=True)])
    return [
        Reading("decay.ratio", (size / squared) ** 0.5, step=step),
        Reading("decay.balance", -inner / squared, step=step),
    ]


def total(parts: Sequence[Tensor]) -> float:
    """The sum of all entries."""
    return float(torch.stack([part.sum() for part in parts]).sum())  # synchronizes

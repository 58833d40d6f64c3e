"""What lies around the weights that a training is stuck at: gradient, curvatures, and a way down along the lowest."""

from collections.abc import Callable, Sequence
from math import inf, isfinite, sqrt

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs, call
from thalweg.measure.curvature import FEWEST, Hessian, Loss, blocks_of, lanczos
from thalweg.measure.untouched import untouched
from thalweg.readings import Reading

STEPS = 30  # of Lanczos: the lowest eigenvalue of a network's Hessian to 1 %
FIRST, DOUBLINGS = 0.01, 20  # of the weights' norm that they are moved by at first; the distance doubles while it helps
STUDENT = 3.182  # 95 % quantile to both sides with 3 degrees of freedom: of four blocks


def landscape(
    network: nn.Module,
    start: nn.Module,
    loss: Loss,
    rows: Sequence[object],
    held: Sequence[object] | None,
    *,
    step: int | None = None,
    seed: int = 0,
    may_go_on: Callable[[], bool] = lambda: True,
) -> list[Reading]:
    """What lies around the weights, in evaluation mode, with g the gradient and H the Hessian by the weights:

        landscape.gradient    |g| by its value at the start, over the same rows
        landscape.high        λ_max(H)
        landscape.low         λ_min(H), at most
        landscape.along       gᵀHg / gᵀg
        landscape.decrease    (gᵀg)² / (2 gᵀHg), what the best step along −g takes from the loss by its second-order
                              expansion; infinite where the curvature along g is not above 0
        landscape.kick        how much the loss of held-out rows falls when the weights are moved along the eigenvector
                              of λ_min, without its part along g, as far as is best for the rows; with a 95 % interval

    Args:
        network: the last weights; stays as it is.
        start: the weights before the first step.
        loss: `(output, target) -> scalar`, with the rows' weights as a third where there are any.
        rows: inputs, target, and weights of the rows where there are any.
        held: the same of other rows; without them nothing is moved.
        step: of the readings.
        seed: of the first vector.
        may_go_on: asked before each product with H.

    Returns:
        Nothing where the loss cannot be differentiated twice, or is not finite.
    """
    inputs, target, *weight = rows
    blocks = blocks_of(inputs, target, *weight)  # type: ignore[arg-type]
    first = gradient_size(start, loss, blocks)
    parameters = [p for p in network.parameters() if p.requires_grad]
    if first is None or not parameters:
        return []
    try:
        with untouched(network):
            hessian = Hessian(network, loss, blocks, parameters)
            gradient = hessian.gradient
            size = float(gradient.norm())
            if not isfinite(hessian.loss) or not isfinite(size):
                return []
            random = torch.randn(len(gradient), generator=torch.Generator().manual_seed(seed)).to(gradient)
            ends = lanczos(hessian, random, steps=STEPS, may_go_on=may_go_on)
            if ends is None or not (ends.whole or ends.steps >= FEWEST):
                return []
            along = sum(hessian.along(gradient)) / len(blocks) if size > 0 else 0.0
    except (RuntimeError, NotImplementedError):
        return []
    values = {
        "gradient": size / first if first > 0 else inf,
        "high": ends.high,
        "low": ends.low,
        "along": along,
        "decrease": 0.0 if size == 0 else size**2 / (2 * along) if along > 0 else inf,
    }
    found = [Reading(f"landscape.{name}", value, step=step, count=len(target)) for name, value in values.items()]  # type: ignore[arg-type]
    if held is None or ends.low >= 0:
        return found
    side = ends.lowest if size == 0 else ends.lowest - (ends.lowest @ gradient) * gradient / size**2
    if float(side.norm()) < 0.1:  # the lowest curvature is that of the gradient: it leads there by itself
        return found
    return [*found, *kicked(network, loss, blocks, blocks_of(*held), side / side.norm(), step)]  # type: ignore[arg-type]


def gradient_size(network: nn.Module, loss: Loss, blocks: Sequence[tuple[Inputs, *tuple[Tensor, ...]]]) -> float | None:
    """|g| of the mean loss; None where it is not finite or nothing is trainable."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    if not parameters:
        return None
    with untouched(network):
        value = torch.stack([loss(call(network, x), *rest).reshape(()) for x, *rest in blocks]).mean()
        parts = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    size = sqrt(sum(float(part.double().square().sum()) for part in parts))
    return size if isfinite(size) else None


def kicked(
    network: nn.Module,
    loss: Loss,
    blocks: Sequence[tuple[Inputs, *tuple[Tensor, ...]]],
    held: Sequence[tuple[Inputs, *tuple[Tensor, ...]]],
    direction: Tensor,
    step: int | None,
) -> list[Reading]:
    """`landscape.kick`: the fall of the held-out loss at the point along the direction that is best for the rows."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in parameters]
    size = sqrt(sum(float(p.double().square().sum()) for p in before)) or 1.0

    def at(length: float, part: Sequence[tuple[Inputs, *tuple[Tensor, ...]]]) -> Tensor:
        pieces = torch.split(direction, [p.numel() for p in before])
        for p, value, piece in zip(parameters, before, pieces, strict=True):
            p.copy_(value + length * size * piece.reshape(p.shape))
        return torch.stack([loss(call(network, x), *rest).reshape(()).double() for x, *rest in part])

    with untouched(network), torch.no_grad():
        try:
            plain = lowest = float(at(0.0, blocks).mean())
            best = 0.0
            for sign in (1, -1):
                reached = plain
                for k in range(DOUBLINGS):
                    length = sign * FIRST * 2**k
                    before_it, reached = reached, float(at(length, blocks).mean())
                    best, lowest = (length, reached) if reached < lowest else (best, lowest)
                    if not reached < before_it:
                        break
            fall = at(0.0, held) - at(best, held)
        finally:
            for p, value in zip(parameters, before, strict=True):
                p.copy_(value)
    mean = float(fall.mean())
    half = STUDENT * float(fall.std()) / sqrt(len(fall)) if len(fall) > 1 else inf
    return [Reading("landscape.kick", mean, "", step, mean - half, mean + half, len(fall))]

"""The first steps of a training, on a clone: the gradient of every parameter on several batches.

One batch at the start is not enough to judge a parameter: behind a last layer of zeros, or a branch whose scale starts
at zero, the gradient is exactly zero once and comes alive after a step or two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg.data.noise import seed_noise
from thalweg.data.rows import Inputs, call, is_divisible, num_rows, take
from thalweg.train.losses import LossFunction

Gradients = dict[str, Tensor | None]
RELATIVE_STEP = 0.01  # length of a step relative to the weights: enough to wake what was zero, too little to diverge


@dataclass(frozen=True)
class FirstSteps:
    """Parameters before the first step, and the gradients on each batch; the weights moved in between."""

    weights: dict[str, Tensor]
    gradients: list[Gradients]
    losses: list[float]


def gradients_of(network: nn.Module, loss: LossFunction, inputs: Inputs, target: Tensor) -> tuple[float, Gradients]:
    """The loss, and the gradient per trainable parameter; None for one that the loss does not reach."""
    trainable = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    value = loss(call(network, inputs), target).reshape(())
    if not value.requires_grad:
        return float(value), {name: None for name, _ in trainable}
    gradients = torch.autograd.grad(value, [p for _, p in trainable], allow_unused=True)
    return float(value.detach()), {name: g for (name, _), g in zip(trainable, gradients, strict=True)}


def first_steps(
    network: nn.Module, loss: LossFunction, inputs: Inputs, target: Tensor, *, steps: int = 3, seed: int = 0
) -> FirstSteps:
    """Takes a few steps of plain gradient descent, each as long as 1 % of the weights, on consecutive batches.

    Not Adam, which would turn rounding noise in a gradient of zero into a step of full size.

    Args:
        network: a clone; it is trained in place.
        loss: `(output, target) -> scalar`.
        inputs: rows as they enter the network; they are cut into `steps + 1` batches.
        target: their targets.
        steps: how many steps.
        seed: decides what dropout draws.
    """
    network.train()
    weights = {name: p.detach().clone() for name, p in network.named_parameters()}
    found, losses = [], []
    divisible = is_divisible(inputs)
    whole = [torch.arange(num_rows(inputs))] * (steps + 1)
    for step, rows in enumerate(batches(num_rows(inputs), steps + 1) if divisible else whole):
        seed_noise(seed, step)
        value, gradients = gradients_of(network, loss, take(inputs, rows) if divisible else inputs, target[rows])
        found.append(gradients)
        losses.append(value)
        descend(dict(network.named_parameters()), gradients)
    return FirstSteps(weights, found, losses)


def batches(count: int, parts: int) -> Sequence[Tensor]:
    """Row numbers in `parts` batches of equal size; few rows are used several times."""
    size = max(count // parts, min(count, 2))
    return [torch.arange(part * size, (part + 1) * size) % count for part in range(parts)]


@torch.no_grad()
def descend(parameters: dict[str, nn.Parameter], gradients: Gradients) -> None:
    """One step against the gradient; none where the gradient is zero or not finite."""
    moved = [(parameters[name], g) for name, g in gradients.items() if g is not None]
    if not moved:
        return
    norm = torch.linalg.vector_norm(torch.stack([g.double().norm() for _, g in moved]))
    length = torch.linalg.vector_norm(torch.stack([p.double().norm() for p, _ in moved])).clamp_min(1.0)
    rate = float(RELATIVE_STEP * length / norm)
    if not 0 < rate < float("inf"):
        return
    for p, g in moved:
        p.sub_(g, alpha=rate)

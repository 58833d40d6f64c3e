"""A step of all members: forward, backward and update, eagerly and in terms that the compiler sees through."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import grad_and_value

from thalweg.data.rows import Inputs
from thalweg.train.population.update import update_

if TYPE_CHECKING:
    from thalweg.train.population.population import Population


def train_step(
    population: "Population",
    forward: Any,
    inputs: Inputs,
    target: Tensor | None,
    weight: Tensor | None,
    rates: Tensor,
    momenta: Tensor | None,
) -> Tensor:
    """Forward, backward and update of all members, eagerly; in one graph it is `whole_step`."""
    noise = None if population.noise is None else population.noise.at(population.streams, population.steps)
    leaves = [part.matrix.detach().requires_grad_() for part in population.parts]
    with torch.enable_grad():
        outputs = forward(population.named(leaves), population.buffers, inputs, noise, own=population.own)
        losses = population.criterion(outputs, target, weight)
        gradients = torch.autograd.grad(losses.sum(), leaves)
    finish(population, list(gradients), rates, momenta)
    return losses.detach()


def whole_step(
    population: "Population",
    forward: Any,
    inputs: Inputs,
    target: Tensor | None,
    weight: Tensor | None,
    rates: Tensor,
    momenta: Tensor | None,
) -> Tensor:
    """The same in terms that the compiler sees through."""
    noise = None if population.noise is None else population.noise.at(population.streams, population.steps)

    def total(leaves: list[Tensor], buffers: dict[str, Tensor]) -> tuple[Tensor, tuple[Tensor, dict[str, Tensor]]]:
        outputs = forward(population.named(leaves), buffers, inputs, noise, own=population.own)
        losses = population.criterion(outputs, target, weight)
        return losses.sum(), (losses, buffers)

    buffers = {name: value.clone() for name, value in population.buffers.items()}
    matrices = [part.matrix for part in population.parts]
    gradients, (_, (losses, moved)) = grad_and_value(total, has_aux=True)(matrices, buffers)
    for name, value in population.buffers.items():
        value.copy_(moved[name])
    finish(population, list(gradients), rates, momenta)
    return losses.detach()  # type: ignore[no-any-return]


@torch.no_grad()
def finish(population: "Population", gradients: list[Tensor], rates: Tensor, momenta: Tensor | None) -> None:
    """The update, and the count of it."""
    update_(population.parts, gradients, population.limits, rates, momenta)
    population.steps.add_(1)

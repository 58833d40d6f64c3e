"""A step of all members as one compiled graph."""

from typing import Any

import torch
from torch import Tensor

from thalweg.data.rows import Batch
from thalweg.errors import ModelError
from thalweg.train.compiled import OPTIONS, in_short, own_code, shape_of
from thalweg.train.population.population import Population
from thalweg.train.population.steps import whole_step
from thalweg.train.step import Window


class Compiled:
    """One graph for batches of one shape; those of others go the eager way.

    Args:
        population: whose tensors are used as they are, in place.
        window: decides the shape.

    Raises:
        ModelError: for a step of the user's own, or, at the first call, where the compiler fails.
    """

    def __init__(self, population: Population, window: Window) -> None:
        if isinstance(window[0][0], Batch):
            raise ModelError("A step of one's own is taken eagerly.")
        self.shape = shape_of(window)
        self.forward = population.forward_of(window[0][0], training=True)
        with torch.no_grad():  # what is made at the first pass and kept must not be made inside of the graph
            leaves, buffers = [part.matrix for part in population.parts], population.buffers
            own = {name: value.clone() for name, value in buffers.items()}
            self.forward(population.named(leaves), own, window[0][0], population.noise, own=population.own)
        self.momenta: bool | None = None  # whether the graph takes momenta, which the first call decides
        options = {**OPTIONS, "guard_filter_fn": lambda checks: [False] * len(checks)}
        self.whole = torch.compile(own_code(whole_step), fullgraph=True, dynamic=False, options=options)

    def takes(self, batch: tuple[Any, ...], momenta: Tensor | None) -> bool:
        """Whether the graph is for such a batch."""
        if self.momenta is None:
            self.momenta = momenta is not None
        return shape_of([batch]) == self.shape and self.momenta == (momenta is not None)

    def __call__(self, population: Population, *arguments: Any) -> Tensor:
        try:
            with torch.no_grad():
                losses: Tensor = self.whole(population, self.forward, *arguments)
        except torch._dynamo.exc.TorchDynamoException as error:  # at the first call
            raise ModelError(f"The population's step cannot be compiled ({in_short(error)}).") from error
        return losses.clone() if losses._is_view() else losses

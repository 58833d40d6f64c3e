"""A step of all members as one compiled graph."""

from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from thalweg.data.rows import Batch
from thalweg.errors import ModelError
from thalweg.train.compiled import OPTIONS, in_short, own_code, shape_of
from thalweg.train.population.population import Population
from thalweg.train.population.steps import whole_step
from thalweg.train.step import Window

SMALL = 4  # operations in a kernel


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
        self.whole = compiled(OPTIONS)
        self.worked = False

    def takes(self, batch: tuple[Any, ...], momenta: Tensor | None) -> bool:
        """Whether the graph is for such a batch."""
        if self.momenta is None:
            self.momenta = momenta is not None
        return shape_of([batch]) == self.shape and self.momenta == (momenta is not None)

    def __call__(self, population: Population, *arguments: Any) -> Tensor:
        with torch.no_grad():
            try:
                losses: Tensor = self.whole(population, self.forward, *arguments)
            except TorchDynamoException as error:
                if self.worked:
                    raise
                losses = self._again(population, *arguments, error=error)
        self.worked = True
        return losses.clone() if losses._is_view() else losses

    def _again(self, population: Population, *arguments: Any, error: Exception) -> Tensor:
        """The first call once more, with smaller kernels: fusing large ones has bugs (KeyError in torch 2.13)."""
        self.whole = compiled({**OPTIONS, "max_fusion_size": SMALL})
        try:
            return self.whole(population, self.forward, *arguments)  # type: ignore[no-any-return]
        except TorchDynamoException:
            raise ModelError(f"The population's step cannot be compiled ({in_short(error)}).") from error


def compiled(options: dict[str, Any]) -> Any:
    """The step as a graph to be; what it is made for is checked by shape, as in `CompiledStep`."""
    options = {**options, "guard_filter_fn": lambda checks: [False] * len(checks)}
    return torch.compile(own_code(whole_step), fullgraph=True, dynamic=False, options=options)

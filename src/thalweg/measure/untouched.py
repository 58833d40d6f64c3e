"""Looking at a network without leaving a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from thalweg.data.noise import global_rng_kept


@contextmanager
def untouched(network: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Within it the network is in evaluation (or training) mode and every parameter has a gradient's history.

    Afterwards modes, buffers, `requires_grad`, `.grad` and the global random generators are as they were found.

    >>> norm = nn.BatchNorm1d(2)
    >>> with untouched(norm, training=True):
    ...     _ = norm(torch.randn(8, 2))
    >>> int(norm.num_batches_tracked)
    0
    """
    modes = [(module, module.training) for module in network.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in network.parameters()]
    buffers = [(m, name, b, b.clone()) for m in network.modules() for name, b in m._buffers.items() if b is not None]
    try:
        network.train(training)
        for p, _, _ in parameters:
            p.requires_grad_(p.is_floating_point())
        with global_rng_kept(), torch.enable_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for p, wanted, gradient in parameters:
            p.requires_grad_(wanted)
            p.grad = gradient
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer  # a forward may put a new tensor in its place
                buffer.copy_(value)

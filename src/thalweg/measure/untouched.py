"""Looking at a network without leaving a trace."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


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
    numpy_state, python_state = np.random.get_state(), random.getstate()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        network.train(training)
        for p, _, _ in parameters:
            p.requires_grad_(p.is_floating_point())
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        for module, mode in modes:
            module.training = mode
        for p, wanted, gradient in parameters:
            p.requires_grad_(wanted)
            p.grad = gradient
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer  # a forward may put a new tensor in its place
                buffer.copy_(value)

"""What an activation costs relative to ReLU: measured where it is asked, interleaved, medians."""

import time
from statistics import median

import torch
from torch import Tensor, nn

from thalweg.parts.activations.activation import Activation
from thalweg.parts.activations.relu import ReLU

NUMBERS = 2**18  # of one tensor: 1 MiB in float32, about the activations of a small layer
ROUNDS = 30


def cost(
    activation: Activation,
    *,
    numbers: int = NUMBERS,
    rounds: int = ROUNDS,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> tuple[float, float]:
    """Seconds of forward and of backward, each relative to ReLU's: medians over rounds that take turns.

    Args:
        activation: the part.
        numbers: of the standard-normal tensor it is applied to.
        rounds: how often each is timed.
        dtype: of the tensor.
        device: where.
    """
    x = torch.randn(numbers, generator=torch.Generator().manual_seed(0)).to(device, dtype).requires_grad_()
    modules = [part.build().to(device, dtype) for part in (ReLU(), activation)]
    seconds: list[list[tuple[float, float]]] = [[], []]
    for turn in range(rounds + 3):
        for module, taken in zip(modules, seconds, strict=True):
            times = timed(module, x)
            if turn >= 3:  # the first allocate and warm up
                taken.append(times)
    (base_forward, base_backward), (forward, backward) = (
        (median(f for f, _ in taken), median(b for _, b in taken)) for taken in seconds
    )
    return forward / base_forward, backward / base_backward


def timed(module: nn.Module, x: Tensor) -> tuple[float, float]:
    """Seconds of one forward pass with its graph, and of the backward pass to the input and the parameters.

    On the CPU it is the processor's time, which other programs do not lengthen.
    """
    clock = time.process_time if x.is_cpu else time.perf_counter
    wait(x)
    started = clock()
    y = module(x)
    wait(x)
    between = clock()
    gradient = torch.ones_like(y)
    wait(x)
    again = clock()
    torch.autograd.grad(y, [x, *module.parameters()], gradient)
    wait(x)
    return between - started, clock() - again


def wait(x: Tensor) -> None:
    """Synchronizes with an accelerator, whose work would else be timed elsewhere."""
    if not x.is_cpu:
        torch.accelerator.synchronize()

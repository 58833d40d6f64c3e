"""The memory layout of images: channels first, or last, whichever makes a step quicker; found by timing both."""

import time

import torch
from torch import Tensor, nn

from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Inputs, map_inputs, tensors_of
from thalweg.parts.optimizers import SGD
from thalweg.train.clone import clone
from thalweg.train.losses import LossFunction
from thalweg.train.step import Step

ROUNDS = 4  # of both, in turns; the first warms up, the quickest of the others counts
WORTH = 1.1  # times as quick, for another layout than the one the network came in


def channels_last(inputs: Inputs) -> Inputs:
    """The inputs with images `[N, C, H, W]` laid out channels last; the values and shapes stay what they are."""
    return map_inputs(lambda v: v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v, inputs)


def use_layout(network: nn.Module, layout: torch.memory_format) -> None:
    """Lays out the network's convolution weights, in place."""
    network.to(memory_format=layout)  # type: ignore[call-overload]


def has_images(network: nn.Module, inputs: Inputs) -> bool:
    """Whether the layout matters: two-dimensional convolutions over images."""
    convolves = any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in network.modules())
    return convolves and any(value.dim() == 4 for value in tensors_of(inputs))


def choose_layout(network: nn.Module, loss: LossFunction, inputs: Inputs, target: Tensor) -> tuple[str, str]:
    """`"channels_last"` or `"contiguous"`, and the reason. Works on clones; nothing of the caller's changes.

    On a CPU a small network's step takes .55 to .75 of the time channels last. Some networks cannot: one that reshapes
    feature maps with `view` raises, and stays as it is.
    """
    with global_rng_kept():
        steps = {}
        for layout in (torch.contiguous_format, torch.channels_last):
            copied = clone(network).train()
            use_layout(copied, layout)
            own_loss = clone(loss) if isinstance(loss, nn.Module) else loss
            batch = channels_last(inputs) if layout is torch.channels_last else inputs
            steps[layout] = Step(copied, own_loss, SGD(lr=1e-6)), batch
        taken: dict[torch.memory_format, list[float]] = {layout: [] for layout in steps}
        try:
            for _ in range(ROUNDS):
                for layout, (step, batch) in steps.items():
                    taken[layout].append(seconds(step, batch, target))
        except RuntimeError as error:
            return "contiguous", f"the network does not run channels last: {str(error).splitlines()[0]}"
    ratio = min(taken[torch.contiguous_format][1:]) / min(taken[torch.channels_last][1:])
    if ratio < WORTH:
        return "contiguous", f"channels last would be {ratio:.2f} times as quick, measured"
    return "channels_last", f"{ratio:.2f} times as quick as channels first, measured"


def seconds(step: Step, inputs: Inputs, target: Tensor) -> float:
    """The time of one step, which the device has finished: of the processor, where nothing else computes.

    The clock on the wall counts what other processes take, and once called the quicker layout half as quick.
    """
    clock = time.process_time if step.device.type == "cpu" else time.perf_counter
    started = clock()
    float(step([(inputs, target)], step=0, rate=1e-6))  # synchronizes
    return clock() - started

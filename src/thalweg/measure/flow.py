"""How much of the difference between rows survives on its way through the network (L01), at the start."""

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs, call
from thalweg.measure.stacks import WEIGHTED
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.readings import Reading


def spread(value: Tensor) -> float:
    """Root mean square of a layer's values around their mean over the rows: what tells rows apart."""
    value = value.detach().double()
    return float((value - value.mean(0)).square().mean().sqrt())


def signal_flow(network: nn.Module, inputs: Inputs) -> list[Reading]:
    """The spread over rows of what enters each weight layer, in training mode.

    Reading `flow.spread` per layer in the order of their calls; the first is of the data, the last of what the last
    layer decides on; 0 means that all rows look the same there. Its note is `"zeros"` where everything is exactly zero.
    """
    found: dict[str, Reading] = {}
    handles = []
    for place, module in network.named_modules():
        if not isinstance(module, (*WEIGHTED, nn.RNNBase)):
            continue

        def look(_module: nn.Module, given: tuple[Tensor, ...], place: str = place) -> None:
            value = next((t for t in tensors_in(given) if t.is_floating_point()), None)
            if value is not None and len(value) > 1:
                note = "" if bool(value.any()) else "zeros"
                found.setdefault(place, Reading("flow.spread", spread(value), place, count=len(value), note=note))

        handles.append(module.register_forward_pre_hook(look))
    try:
        with untouched(network, training=True), torch.no_grad():
            output = call(network, inputs)
    finally:
        for handle in handles:
            handle.remove()
    readings = list(found.values())
    if isinstance(output, Tensor) and output.is_floating_point():
        readings.append(Reading("flow.output", spread(output), count=len(output)))
    return readings

"""Saturation: the share of inputs at the flat ends of an activation, |φ'(z)| under 1 % of its maximum (L05)."""

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs, call
from thalweg.measure.calls import Call, Calls
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.readings import Reading


def saturation(network: nn.Module, inputs: Inputs, *, step: int | None = None) -> list[Reading]:
    """Readings `units.saturated` per activation with flat ends, over these rows in evaluation mode.

    An activation that makes the network's output is left out: there, a flat end is an answer the network is sure of.

    >>> network = nn.Sequential(nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 1), nn.Tanh())
    >>> _ = nn.init.constant_(network[0].weight, 1.0), nn.init.zeros_(network[0].bias)
    >>> [(r.place, r.value, r.count) for r in saturation(network, torch.tensor([[0.0], [2.9], [3.1], [-9.0]]))]
    [('1', 0.5, 4)]
    """
    found: dict[str, tuple[Reading, Tensor]] = {}

    def note(made: Call) -> None:
        if made.flat is not None and made.place not in found:
            share = float(made.flat)
            reading = Reading("units.saturated", share, made.place, step, count=len(made.output), note=made.kind)
            found[made.place] = (reading, made.output)

    calls = Calls(network, note)
    with untouched(network), torch.no_grad(), calls.attached():
        output = call(network, inputs)
    ends = {value.untyped_storage().data_ptr() for value in tensors_in(output)}
    return [reading for reading, value in found.values() if value.untyped_storage().data_ptr() not in ends]

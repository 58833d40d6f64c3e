"""Signal and gradient through depth (L10): the deviation at each layer, and how fast it grows or shrinks per layer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor, nn

from thalweg.data.noise import seed_torch
from thalweg.data.rows import Inputs, call, num_rows
from thalweg.measure.calls import first_tensor
from thalweg.measure.flow import spread
from thalweg.measure.signal import Signal
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.probes.slope import Slope, slope_of


@dataclass(frozen=True)
class Depth:
    """What was measured at each layer with weights, in the order of their run.

    Args:
        places: the layers.
        outputs: deviation of each layer's outputs between rows: what tells rows apart, without what biases add alike.
        gradients: root mean square of the gradient with regard to them, of a random sum of the network's outputs.
    """

    places: tuple[str, ...]
    outputs: tuple[float, ...]
    gradients: tuple[float, ...]

    @property
    def forward(self) -> Slope:
        """Slope of the logarithm of `outputs` over the hidden layers, from first to last."""
        return slope_of(self.outputs[:-1])

    @property
    def backward(self) -> Slope:
        """Slope of the logarithm of `gradients`, from the last hidden layer to the first."""
        return slope_of(self.gradients[:-1][::-1])


def through_depth(network: nn.Module, inputs: Inputs, places: Sequence[str]) -> Depth:
    """Deviations at the layers `places` in one pass forward and back, in training mode.

    Normalizations take the statistics of these rows; a single row is looked at in evaluation mode. The network, its
    gradients and buffers, and the random generators stay as they are.
    """
    signal, spreads = Signal(network), dict.fromkeys(places, nan)
    with untouched(network, training=num_rows(inputs) > 1), signal.attached(), spread_noted(network, spreads):
        seed_torch(0)  # the same dropout and the same sum before and after; `untouched` brings it back
        outputs = [t for t in tensors_in(call(network, inputs)) if t.requires_grad and t.is_floating_point()]
        if outputs:
            total = torch.stack([random_sum(output) for output in outputs]).sum()
            torch.autograd.grad(total, [p for p in network.parameters() if p.requires_grad], allow_unused=True)
    found = {r.place: r.value for r in signal.readings(0) if r.name == "activation.gradient"}
    return Depth(tuple(places), tuple(spreads.values()), tuple(found.get(place, nan) for place in places))


@contextmanager
def spread_noted(network: nn.Module, spreads: dict[str, float]) -> Iterator[None]:
    """Notes the deviation between rows of what the named layers give at their first call."""
    handles = []
    for place in spreads:

        def look(_module: nn.Module, _given: object, output: object, place: str = place) -> None:
            value = first_tensor(output)
            if value is not None and spreads[place] != spreads[place]:
                spreads[place] = spread(value)

        handles.append(network.get_submodule(place).register_forward_hook(look))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def random_sum(output: Tensor) -> Tensor:
    """The outputs times standard-normal numbers, so that the gradient with regard to each has deviation 1."""
    return (output * torch.randn_like(output)).sum().double()

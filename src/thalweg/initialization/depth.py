"""Signal and gradient through depth (L10): the deviation at each layer, and how fast it grows or shrinks per layer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import exp, log, nan, sqrt

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs, call, num_rows
from thalweg.measure.calls import first_tensor
from thalweg.measure.flow import spread
from thalweg.measure.signal import Signal
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.probes.student import quantile


@dataclass(frozen=True)
class Slope:
    """Change of the natural logarithm per layer, with its 95 % interval; NaN where fewer than three layers tell.

    >>> slope_of([1.0, 0.5, 0.25, 0.125]).factor
    0.5
    """

    value: float
    low: float
    high: float

    @property
    def factor(self) -> float:
        """What the deviation is multiplied by per layer."""
        return round(exp(self.value), 12)

    def __str__(self) -> str:
        if self.value != self.value:
            return "not enough layers"
        return f"{self.value:+.3f} per layer ({self.low:+.3f} to {self.high:+.3f})"


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


def slope_of(values: Sequence[float]) -> Slope:
    """Least squares of log value over 0, 1, 2, ... with Student's interval; values of 0 are left out.

    The interval takes deviations of layers from the line for independent of one another.
    """
    points = [(float(i), log(value)) for i, value in enumerate(values) if 0 < value < float("inf")]
    count = len(points)
    if count < 3:
        return Slope(nan, nan, nan)
    mean_x, mean_y = (sum(column) / count for column in zip(*points, strict=True))
    square = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / square
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    half = quantile(0.025, count - 2) * sqrt(rest / (count - 2) / square)
    return Slope(slope, slope - half, slope + half)


def through_depth(network: nn.Module, inputs: Inputs, places: Sequence[str]) -> Depth:
    """Deviations at the layers `places` in one pass forward and back, in training mode.

    Normalizations take the statistics of these rows; a single row is looked at in evaluation mode. The network, its
    gradients and buffers, and the random generators stay as they are.
    """
    signal, spreads = Signal(network), dict.fromkeys(places, nan)
    with untouched(network, training=num_rows(inputs) > 1), signal.attached(), spread_noted(network, spreads):
        torch.manual_seed(0)  # the same dropout and the same sum before and after; `untouched` brings it back
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

"""The signal of one training step: activations and gradients through depth, weights and their updates, per layer.

Hooks leave device scalars; one synchronization brings all of them to the host. Nothing is changed: a training with and
without is bit-identical. What a hook cannot see (the inside of a compiled network) yields no reading.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import sqrt

import torch
from torch import Tensor, nn

from thalweg.measure.calls import Call, Calls, thinned
from thalweg.measure.updates import Updates
from thalweg.readings import Reading


class Signal:
    """Statistics of a training step, per layer (L03-L05, L10).

    Of every leaf module that returns floats, and of activations called as functions (placed as torch.fx names them:
    `block.relu`, `block.relu_1`), for each call of the step:

    - `activation.mean`, `activation.std`, and `activation.gradient`, the root mean square of ∂loss/∂output;
    - of activations `activation.zero`, the share of exact zeros, and `activation.saturated`, the share of inputs z
      with |φ'(z)| under 1 % of its maximum;
    - of ReLU and ReLU6 `activation.dead`, the share of units (features, channels) that were 0 for every row, and whose
      incoming weights therefore got a gradient of exactly 0.

    Of a large output every k-th row is looked at; a reading's `count` says how many rows that were.

    Of every layer that owns parameters `gradient.rms`, `weight.rms` and `update.ratio` = ‖update‖ / ‖weights‖; at place
    `""` the median of those ratios and `gradient.norm`, of the whole gradient before clipping.

    Args:
        network: the module that is called; hooks exist only inside `attached`.

    >>> network = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> names, parameters = zip(*network.named_parameters())
    >>> signal = Signal(network)
    >>> with signal.attached():
    ...     loss = network(torch.ones(4, 2)).square().mean()
    ...     gradients = torch.autograd.grad(loss, parameters)
    >>> signal.before_update(names, parameters, gradients)
    >>> _ = torch.optim.SGD(parameters, lr=0.1).step()
    >>> signal.after_update()
    >>> readings = signal.readings(0)
    >>> [r.place for r in readings if r.name == "activation.mean"]
    ['0', '1', '2']
    >>> [r.place for r in readings if r.name == "weight.rms"]
    ['0', '2']
    """

    def __init__(self, network: nn.Module) -> None:
        self._calls = Calls(network, self._note)
        self._seen: list[_Scalars] = []
        self._updates: Updates | None = None

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watches one forward and backward pass inside; forgets the step before."""
        self.forget()
        # Of a network called several times in a step (accumulated batches) the last call is looked at.
        handle = self._calls.network.register_forward_pre_hook(lambda *_: self._seen.clear())
        try:
            with self._calls.attached():
                yield
        finally:
            handle.remove()

    def _note(self, call: Call) -> None:
        self._seen.append(_Scalars(call))

    def before_update(
        self, names: Sequence[str], parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]
    ) -> None:
        """Reads gradients and weights before the optimizer changes (or clips) them."""
        self._updates = Updates(names, parameters, gradients)

    def after_update(self) -> None:
        """Reads how far the optimizer has moved the weights."""
        assert self._updates is not None
        self._updates.finish()

    def forget(self) -> None:
        """Lets go of what was seen; for who does not attach again at once."""
        self._seen, self._updates = [], None

    def readings(self, step: int) -> list[Reading]:
        """The readings of the step that was watched. The only synchronization."""
        scalars = [scalar for seen in self._seen for scalar in seen.scalars.values()]
        if self._updates is not None:
            scalars += self._updates.scalars()
        values = iter(torch.stack(scalars).tolist()) if scalars else iter(())  # synchronizes
        found = [reading for seen in self._seen for reading in seen.readings(values, step)]
        if self._updates is not None:
            found += self._updates.readings(list(values), step)
        return found


class _Scalars:
    """What one call of one layer left on the device, by the name of the reading."""

    def __init__(self, call: Call) -> None:
        thin = replace(call, output=thinned(call.output.detach()))
        value = widened(thin.output)
        self.place, self.kind, self.rows, self.numel = call.place, call.kind, len(value), value.numel()
        # On a CPU these kernels take a tenth of the time of var_mean and count_nonzero.
        mean = value.mean()
        self.scalars = {"mean": mean, "std": torch.linalg.vector_norm(value - mean)}
        if call.flat is not None:
            self.scalars["saturated"] = call.flat
        if call.shape:
            self.scalars["zero"] = value.sign().abs_().sum()
        if call.shape and call.shape.dies:
            alive = thin.largest().sign_()
            self.units = alive.numel()
            self.scalars["dead"] = alive.sum(dtype=torch.float32)
        if call.output.requires_grad:
            call.output.register_hook(self.read_gradient)  # type: ignore[no-untyped-call]

    def read_gradient(self, gradient: Tensor) -> None:
        with torch._C.DisableTorchFunction():
            self.scalars["gradient"] = torch.linalg.vector_norm(widened(thinned(gradient.detach())))

    def readings(self, values: Iterator[float], step: int) -> Iterator[Reading]:
        for name in self.scalars:
            value = next(values)
            match name:
                case "zero":
                    value = 1 - value / self.numel
                case "dead":
                    value = 1 - value / self.units
                case "std" | "gradient":
                    value /= sqrt(self.numel)
            yield Reading(f"activation.{name}", value, self.place, step, count=self.rows, note=self.kind)


def widened(value: Tensor) -> Tensor:
    """Half precision as float32, so that a sum over a layer keeps its digits."""
    return value.float() if value.element_size() < 4 else value

"""The signal of one training step: activations and gradients through depth, weights and their updates, per layer.

Hooks leave device scalars; one synchronization brings all of them to the host. Nothing is changed: a training with and
without is bit-identical. What a hook cannot see (the inside of a compiled network) yields no reading.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from thalweg.measure.activations import FUNCTIONS, SHAPES, Shape, shape_of
from thalweg.measure.updates import Updates
from thalweg.readings import Reading

MAX_CALLS = 8  # of one layer in one step that are measured: a cell of a recurrent loop is called hundreds of times


class Signal:
    """Statistics of a training step, per layer (L03-L05, L10).

    Of every leaf module that returns floats, and of activations called as functions (placed as torch.fx names them:
    `block.relu`, `block.relu_1`), for each call of the step:

    - `activation.mean`, `activation.std`, and `activation.gradient`, the root mean square of ∂loss/∂output;
    - of activations `activation.zero`, the share of exact zeros, and `activation.saturated`, the share of inputs z
      with |φ'(z)| under 1 % of its maximum;
    - of ReLU and ReLU6 `activation.dead`, the share of units (features, channels) that were 0 for the whole batch, and
      whose incoming weights therefore got a gradient of exactly 0.

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
        self._layers = leaves(network)
        self._shapes = {layer: shape_of(layer) for layer in self._layers}
        self._blocks = {m: None if m in self._layers else name for name, m in network.named_modules()}
        self._path: list[str | None] = []  # places of the modules being called; None inside a layer
        self._calls: list[_Call] = []
        self._counts: dict[str, int] = {}
        self._saturated: dict[nn.Module, Tensor] = {}  # of layers that have not returned yet
        self._channels_first = False  # what a 3-D activation is: [N, C, L] after a convolution, else [N, L, F]
        self._calls_functions = True  # until a first pass shows that it calls none: seeing every operation is dear
        self._updates: Updates | None = None

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watches one forward and backward pass inside; forgets the step before."""
        self._path, self._calls, self._counts, self._saturated, self._updates = [], [], {}, {}, None
        handles = []
        for layer, shape in self._shapes.items():
            if shape and shape.saturates:
                handles.append(layer.register_forward_pre_hook(self._enter))
            handles.append(layer.register_forward_hook(self._leave))
        for block in self._blocks if self._calls_functions else ():
            handles.append(block.register_forward_pre_hook(self._descend))
            handles.append(block.register_forward_hook(self._ascend))
        try:
            with _Functions(self) if self._calls_functions else nullcontext():
                yield
            self._calls_functions = any(call.kind in FUNCTIONS for call in self._calls)
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, layer: nn.Module, args: tuple[Any, ...]) -> None:
        shape = self._shapes[layer]
        if shape and args and measurable(args[0]):
            self._saturated[layer] = saturated(args[0], shape)

    def _leave(self, layer: nn.Module, _: Any, output: Any) -> None:
        value = first_tensor(output)
        if value is None or not measurable(value):
            return
        if value.dim() == 3 and layer._parameters:
            self._channels_first = isinstance(layer, _ConvNd | _BatchNorm)
        self._measure(
            self._layers[layer], type(layer).__name__, self._shapes[layer], value, self._saturated.pop(layer, None)
        )

    def _descend(self, block: nn.Module, _: Any) -> None:
        self._path.append(self._blocks[block])

    def _ascend(self, *_: Any) -> None:
        self._path.pop()

    def watch_function(self, name: str, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Calls an activation function and measures it, unless it is the inside of a layer."""
        if not self._path or self._path[-1] is None or not measurable(args[0]):
            return function(*args, **kwargs)
        block, kind = self._path[-1], name.rstrip("_")
        shape = SHAPES[kind]
        flat = saturated(args[0], shape) if shape.saturates else None
        output = function(*args, **kwargs)
        self._measure(f"{block}.{kind}" if block else kind, kind, shape, output, flat)
        return output

    def _measure(self, place: str, kind: str, shape: Shape | None, output: Tensor, flat: Tensor | None) -> None:
        if torch._C._current_graph_task_id() >= 0:  # activation checkpointing calls it again in the backward pass
            return
        number = self._counts.get(place, 0)
        self._counts[place] = number + 1
        if number < MAX_CALLS:
            call = _Call(f"{place}_{number}" if number else place, kind, output, shape, flat, self._channels_first)
            self._calls.append(call)

    def before_update(
        self, names: Sequence[str], parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]
    ) -> None:
        """Reads gradients and weights before the optimizer changes (or clips) them."""
        self._updates = Updates(names, parameters, gradients)

    def after_update(self) -> None:
        """Reads how far the optimizer has moved the weights."""
        assert self._updates is not None
        self._updates.finish()

    def readings(self, step: int) -> list[Reading]:
        """The readings of the step that was watched. The only synchronization."""
        scalars = [scalar for call in self._calls for scalar in call.scalars.values()]
        if self._updates is not None:
            scalars += self._updates.scalars()
        values = iter(torch.stack(scalars).tolist()) if scalars else iter(())  # synchronizes
        found = [reading for call in self._calls for reading in call.readings(values, step)]
        if self._updates is not None:
            found += self._updates.readings(list(values), step)
        return found


class _Call:
    """One call of one layer: scalars on the device, by the name of the reading."""

    def __init__(
        self, place: str, kind: str, output: Tensor, shape: Shape | None, flat: Tensor | None, channels_first: bool
    ) -> None:
        self.place, self.kind = place, kind
        self.scalars: dict[str, Tensor] = {} if flat is None else {"saturated": flat}
        with torch._C.DisableTorchFunction():
            self.rows, self.numel = len(output), output.numel()
            value = widened(output.detach())
            # On a CPU these kernels take a tenth of the time of var_mean and count_nonzero.
            self.scalars["mean"] = mean = value.mean()
            self.scalars["std"] = torch.linalg.vector_norm(value - mean)
            if shape:
                self.scalars["zero"] = value.sign().abs_().sum()
            if shape and shape.dies:
                unit = 1 if value.dim() != 3 or channels_first else 2
                alive = value.amax([d for d in range(value.dim()) if d != unit])
                self.units = alive.numel()
                self.scalars["dead"] = alive.sign_().sum()
            if output.requires_grad:
                output.register_hook(self.read_gradient)  # type: ignore[no-untyped-call]

    def read_gradient(self, gradient: Tensor) -> None:
        with torch._C.DisableTorchFunction():
            self.scalars["gradient"] = torch.linalg.vector_norm(widened(gradient.detach()))

    def readings(self, values: Iterator[float], step: int) -> Iterator[Reading]:
        for name in self.scalars:
            value = next(values)
            match name:
                case "zero":
                    value = 1 - value / self.numel
                case "dead":
                    value = 1 - value / self.units
                case "saturated":
                    value /= self.numel
                case "std" | "gradient":
                    value /= sqrt(self.numel)
            yield Reading(f"activation.{name}", value, self.place, step, count=self.rows, note=self.kind)


class _Functions(TorchFunctionMode):
    """Sees activations that are called as functions, `F.relu(x)` and `x.tanh()`."""

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.signal = signal

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in FUNCTIONS:
            return self.signal.watch_function(name, function, args, kwargs or {})
        return function(*args, **(kwargs or {}))


def leaves(network: nn.Module) -> dict[nn.Module, str]:
    """The layers that are watched, and their places: modules without modules inside; attention counts as one layer.

    >>> list(leaves(nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Tanh()))).values())
    ['0', '1.0']
    """
    found = {}
    for name, module in network.named_modules():
        inside = [child for child, _ in module.named_children() if child != "parametrizations"]
        whole = not inside or isinstance(module, nn.MultiheadAttention)
        if whole and "parametrizations" not in name.split("."):
            found[module] = name or type(module).__name__
    return found


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of an output that may be a tuple or a dict."""
    if isinstance(output, Tensor):
        return output
    items = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next((found for item in items if (found := first_tensor(item)) is not None), None)


def measurable(value: Any) -> bool:
    """Whether statistics over rows are defined: a dense batch of real numbers with at least one feature each."""
    if not isinstance(value, Tensor):
        return False
    with torch._C.DisableTorchFunction():
        dense = value.layout == torch.strided and value.is_floating_point()
        return dense and value.dim() >= 2 and value.numel() > 0


def saturated(value: Tensor, shape: Shape) -> Tensor:
    """The number of entries at the flat ends of an activation, from its input, before it is overwritten in place."""
    with torch._C.DisableTorchFunction():
        value = value.detach()
        return value.clamp(shape.low, shape.high).ne_(value).sum(dtype=torch.float32)


def widened(value: Tensor) -> Tensor:
    """Half precision as float32, so that a sum over a layer keeps its digits."""
    return value.float() if value.element_size() < 4 else value

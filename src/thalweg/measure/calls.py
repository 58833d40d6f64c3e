"""Hooks that see every call of a layer or an activation, for a time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from thalweg.measure.activations import FUNCTIONS, SHAPES, Shape, shape_of
from thalweg.measure.function_modes import insert, remove

MAX_ENTRIES = 2**18  # of one output that are looked at
MAX_CALLS = 8  # of one layer in one forward pass that are told: a recurrent loop calls its cell hundreds of times


@dataclass(slots=True)
class Call:
    """One call of a layer.

    Args:
        place: path of the module; for an activation called as a function that of the module around it and a name, as
            torch.fx names it: `block.relu`. Later calls in the same forward pass get `_1`, `_2`, ...
        kind: class of the module, or name of the function.
        output: its (first) output, a dense batch of real numbers.
        shape: of an activation, else None.
        flat: share of inputs at the activation's flat ends, on the device; None for one without.
        unit: dimension of the output that counts features or channels.
    """

    place: str
    kind: str
    output: Tensor
    shape: Shape | None
    flat: Tensor | None
    unit: int

    def largest(self) -> Tensor:
        """`[units]` the largest output of each unit; 0 for a ReLU that was never active."""
        value = self.output.detach()
        return value.amax([d for d in range(value.dim()) if d != self.unit])


class Calls:
    """Tells a listener of every call while attached. What happens inside of compiled code is not seen.

    Args:
        network: the module that is called.
        listener: gets each call right after the output was made; torch's functions are not watched in it.
    """

    def __init__(self, network: nn.Module, listener: Callable[[Call], None]) -> None:
        self.network, self.listener = network, listener
        self._layers = leaves(network)
        self._shapes = {layer: shape_of(layer) for layer in self._layers}
        self._blocks = {m: None if m in self._layers else name for name, m in network.named_modules()}
        self._path: list[str | None] = []  # places of the modules being called; None inside a layer
        self._counts: dict[str, int] = {}
        self._flat: dict[nn.Module, Tensor] = {}  # of layers that have not returned yet
        self._channels_first = False  # what a 3-D activation is: [N, C, L] after a convolution, else [N, L, F]
        self._functions: bool | None = None  # whether activations are called as functions; None until a pass has shown

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Puts the hooks on and takes them off again. After a pass without functions, functions are not looked for."""
        self._begin()
        look = self._functions is not False  # seeing every operation is dear
        handles = [self.network.register_forward_pre_hook(self._begin)]
        for layer, shape in self._shapes.items():
            if shape and shape.saturates:
                handles.append(layer.register_forward_pre_hook(self._enter))
            handles.append(layer.register_forward_hook(self._leave))
        for block in self._blocks if look else ():
            handles.append(block.register_forward_pre_hook(self._descend))
            handles.append(block.register_forward_hook(self._ascend))
        mode = _Functions(self)
        if look:
            insert(mode)  # not by `with`: who watches a loop takes it off at another place than it was put on
        try:
            yield
            self._functions = bool(self._functions)
        finally:
            remove(mode)
            for handle in handles:
                handle.remove()

    def _begin(self, *_: Any) -> None:
        self._path.clear()
        self._counts.clear()

    def _enter(self, layer: nn.Module, args: tuple[Any, ...]) -> None:
        shape = self._shapes[layer]
        if shape and args and measurable(args[0]):
            self._flat[layer] = flat_inputs(args[0], shape)

    def _leave(self, layer: nn.Module, _: Any, output: Any) -> None:
        value = first_tensor(output)
        if value is None or not measurable(value):
            return
        if value.dim() == 3 and layer._parameters:
            self._channels_first = isinstance(layer, _ConvNd | _BatchNorm)
        flat = self._flat.pop(layer, None)
        self._tell(self._layers[layer], type(layer).__name__, value, self._shapes[layer], flat)

    def _descend(self, block: nn.Module, _: Any) -> None:
        self._path.append(self._blocks[block])

    def _ascend(self, *_: Any) -> None:
        self._path.pop()

    def function(self, name: str, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Calls an activation function and tells of it, unless it is the inside of a layer."""
        value: Any = args[0] if args else kwargs.get("input")
        if not self._path or self._path[-1] is None or not measurable(value):
            return function(*args, **kwargs)
        self._functions = True
        block, kind = self._path[-1], name.rstrip("_")
        shape = SHAPES[kind]
        flat = flat_inputs(value, shape) if shape.saturates else None
        output = function(*args, **kwargs)
        self._tell(f"{block}.{kind}" if block else kind, kind, output, shape, flat)
        return output

    def _tell(self, place: str, kind: str, output: Tensor, shape: Shape | None, flat: Tensor | None) -> None:
        if torch._C._current_graph_task_id() >= 0:  # activation checkpointing calls it again in the backward pass
            return
        number = self._counts.get(place, 0)
        self._counts[place] = number + 1
        if number < MAX_CALLS:
            with torch._C.DisableTorchFunction():
                unit = 1 if output.dim() != 3 or self._channels_first else 2
                self.listener(Call(f"{place}_{number}" if number else place, kind, output, shape, flat, unit))


class _Functions(TorchFunctionMode):
    """Sees activations that are called as functions, `F.relu(x)` and `x.tanh()`."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self.calls = calls

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in FUNCTIONS:
            return self.calls.function(name, function, args, kwargs or {})
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


def thinned(value: Tensor) -> Tensor:
    """Every k-th row, so that about 2**18 entries remain: enough for a share or a mean to three digits.

    Of a 28 x 28 convolutional layer at batch 128 that makes a watched step cost 1.2 plain ones instead of 1.5.
    """
    every = ceil(value.numel() / MAX_ENTRIES)
    return value if every == 1 else value[::every]


def flat_inputs(value: Tensor, shape: Shape) -> Tensor:
    """The share of entries at the flat ends of an activation, from its input, before it is overwritten in place."""
    with torch._C.DisableTorchFunction():
        value = thinned(value.detach())
        return value.clamp(shape.low, shape.high).ne_(value).mean(dtype=torch.float32)

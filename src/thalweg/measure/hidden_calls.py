"""Activations between layers: which calls of ReLU, sigmoid or softmax feed a weight layer, read off autograd's graph.

A sigmoid at the end is a head, one that multiplies another tensor a gate, a softmax that does so attention: none of
these feeds a layer by itself, and none is listed. Modules and functions are the same here.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thalweg.data.rows import Inputs, call
from thalweg.measure.stacks import WEIGHTED
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in

NAMES = frozenset({"relu", "relu6", "sigmoid", "tanh", "hardsigmoid", "softsign", "softmax", "log_softmax"})
MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Softsign: "softsign",
    nn.Softmax: "softmax",
    nn.Softmax2d: "softmax",
    nn.LogSoftmax: "log_softmax",
}
PRODUCTS = ("MulBackward", "BmmBackward", "MmBackward", "BaddbmmBackward", "AddmmBackward", "MvBackward")
Node = Any  # of autograd's graph


@dataclass(frozen=True, eq=False)
class Called:
    """One call of an activation in a forward pass.

    Args:
        name: of the function, `"softmax"`.
        place: path of the innermost module that was running.
        module: whether that module is the activation itself.
        node: what it made in autograd's graph.
    """

    name: str
    place: str
    module: bool
    node: Node


@dataclass(frozen=True)
class Hidden:
    """The calls of one forward pass, in order, and which of them feed a weight layer."""

    calls: tuple[Called, ...]
    feeding: frozenset[Called]

    def named(self, names: frozenset[str]) -> list[Called]:
        """Those that feed a layer, of some names, in order."""
        return [c for c in self.calls if c in self.feeding and c.name in names]


def hidden_calls(network: nn.Module, inputs: Inputs) -> Hidden:
    """One forward pass in evaluation mode; the network stays as it is.

    >>> import torch
    >>> network = nn.Sequential(nn.Linear(4, 8), nn.Softmax(1), nn.Linear(8, 3), nn.Softmax(1))
    >>> [(c.name, c.place) for c in hidden_calls(network, torch.zeros(2, 4)).named(frozenset({"softmax"}))]
    [('softmax', '1')]
    """
    calls: list[Called] = []
    fed: list[Node] = []
    layers: set[Node] = set()
    with untouched(network), noted(network, calls, fed, layers):
        call(network, inputs)
    found = {c.node: c for c in calls}
    return Hidden(tuple(calls), frozenset(found[node] for node in reached(fed, set(found), layers)))


def reached(fed: list[Node], wanted: set[Node], layers: set[Node]) -> set[Node]:
    """The wanted nodes from which a layer is reached without another layer, call or product of two tensors between."""
    found: set[Node] = set()
    waiting, seen = list(fed), set(fed)
    while waiting:
        node = waiting.pop()
        if node in wanted:
            found.add(node)
            continue
        before = [b for b, _ in node.next_functions if b is not None and not is_weight(b)]
        if node in layers or (len(before) > 1 and node.name().startswith(PRODUCTS)):
            continue
        waiting += [b for b in before if b not in seen]
        seen.update(before)
    return found


def is_weight(node: Node) -> bool:
    """Whether a node is a parameter, or one transposed."""
    before = [b for b, _ in node.next_functions]
    return not before if len(before) != 1 else before[0] is not None and is_weight(before[0])


@contextmanager
def noted(network: nn.Module, calls: list[Called], fed: list[Node], layers: set[Node]) -> Iterator[None]:
    """Fills the lists during one forward pass: calls of activations, nodes that enter layers, nodes they make."""
    path: list[tuple[str, nn.Module]] = []
    handles: list[Any] = []
    for place, module in network.named_modules():

        def enter(module: nn.Module, given: tuple[Any, ...], named: Any, place: str = place) -> None:
            path.append((place, module))
            if isinstance(module, (*WEIGHTED, nn.RNNBase, nn.MultiheadAttention)):
                fed.extend(t.grad_fn for t in tensors_in((given, named)) if t.grad_fn is not None)

        def leave(module: nn.Module, _given: Any, output: object) -> None:
            path.pop()
            if isinstance(module, (*WEIGHTED, nn.RNNBase, nn.MultiheadAttention)):
                layers.update(t.grad_fn for t in tensors_in(output) if t.grad_fn is not None)

        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave))
    try:
        with _Noting(calls, path):
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Noting(TorchFunctionMode):
    """Notes each call of an activation with the module it was made in."""

    def __init__(self, calls: list[Called], path: list[tuple[str, nn.Module]]) -> None:
        super().__init__()
        self.calls, self.path = calls, path

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        name = name_of(function)
        if name is not None and isinstance(output, Tensor) and output.grad_fn is not None:
            place, module = self.path[-1] if self.path else ("", None)
            self.calls.append(Called(name, place, type(module) in MODULES, output.grad_fn))
        return output


def name_of(function: Any) -> str | None:
    """The name of one of torch's activation functions, in whatever form it is called; else None."""
    name = str(getattr(function, "__name__", "")).removesuffix("_")
    return name if name in NAMES else None

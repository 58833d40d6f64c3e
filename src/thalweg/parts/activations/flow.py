"""Where activations stand in a network, found without running it: what comes before each, and what becomes of it.

The `forward` of every module that has children is traced by itself with `torch.fx`, its children taken whole. A module
that cannot be traced (its path depends on the data) is left out; what it calls has an unknown fate.
"""

import operator
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import fx, nn

from thalweg.data.noise import global_rng_kept
from thalweg.parts.activations.recognize import is_activation

Fate = Literal["between", "gate", "end", "unknown"]
# Of torch's own, which hold no activation as a module, or are known: nn.TransformerEncoderLayer.activation.
OPAQUE = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
LISTS = (nn.ModuleList, nn.ModuleDict)
PRODUCTS = (operator.mul, operator.imul, torch.mul, torch.multiply, torch.addcmul, torch.lerp, "mul", "mul_", "lerp")
VIEWS = {
    "view",
    "reshape",
    "expand",
    "expand_as",
    "unsqueeze",
    "squeeze",
    "flatten",
    "unflatten",
    "transpose",
    "permute",
}
VIEWS |= {"contiguous", "movedim", "clone", "to", "float", "type_as", "view_as"}
ASKED = {"getattr", "size", "dim"}  # of a tensor: its shape, not its numbers
SAME_WIDTH: tuple[type[nn.Module], ...] = (nn.Identity, nn.modules.dropout._DropoutNd)
SAME_WIDTH += (nn.modules.pooling._AvgPoolNd, nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd)
KEPT = (nn.Flatten, nn.Unflatten, nn.Identity, nn.modules.dropout._DropoutNd)  # pass a gate on as it is


class Held(nn.Module):
    """Stands for a function that a module holds as a plain attribute, so that its calls are seen by name."""


class Tracer(fx.Tracer):
    """Traces one `forward`; every child is a leaf."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


@dataclass(frozen=True)
class Call:
    """One call of a child in the traced `forward` of its owner."""

    owner: nn.Module
    node: fx.Node


class Flow:
    """Who calls whom in a network.

    >>> gate = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid())
    >>> network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), gate)
    >>> flow = Flow(network)
    >>> flow.fates(network[1]), flow.fates(gate[1]), flow.width_before(network[1])
    ({'between'}, {'end'}, {(8, 'last')})
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.outputs: dict[int, fx.Node] = {}  # by identity of the traced module
        self.calls: dict[object, list[Call]] = {}  # by identity of the called; of a held function by owner and name
        self.functions: dict[str, list[str]] = {}  # place -> activations that its forward calls, between layers
        for place, module in network.named_modules():
            if not isinstance(module, (*OPAQUE, *LISTS)) and (any(True for _ in module.children()) or held(module)):
                self._add(module)
                self._find_functions(module, place or type(network).__name__)

    def _find_functions(self, module: nn.Module, place: str) -> None:
        output = self.outputs.get(id(module))
        for node in output.graph.nodes if output is not None else ():
            method = node.op == "call_method" and getattr(torch.Tensor, str(node.target), None)
            function = node.target if node.op == "call_function" else method
            if function and is_activation(function) and "between" in self._after(module, node, frozenset()):
                name = getattr(function, "__name__", str(function)).rstrip("_")
                names = self.functions.setdefault(place, [])
                names += [] if name in names else [name]

    def _add(self, module: nn.Module) -> None:
        traced = light_copy(module)
        try:
            with global_rng_kept(), torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                graph = Tracer().trace(traced)
        except Exception:  # control flow that depends on the data, or no forward at all
            return
        for node in graph.nodes:
            if node.op == "call_module":
                child = traced.get_submodule(str(node.target))
                key = (id(module), node.target) if isinstance(child, Held) else id(child)
                self.calls.setdefault(key, []).append(Call(module, node))
            elif node.op == "output":
                self.outputs[id(module)] = node

    # ------------------------------------------------------------------ what becomes of it

    def fates(self, called: nn.Module | tuple[nn.Module, str]) -> set[Fate]:
        """What becomes of the outputs of a module, or of a function held as `(owner, name)`, over all its calls."""
        return self._fates(key_of(called), frozenset())

    def _fates(self, key: object, seen: frozenset[object]) -> set[Fate]:
        if key == id(self.network):
            return {"end"}
        calls = self.calls.get(key, [])
        found = {fate for call in calls for fate in self._after(call.owner, call.node, seen | {key})}
        return found or {"unknown"}

    def _after(self, owner: nn.Module, node: fx.Node, seen: frozenset[object]) -> set[Fate]:
        found: set[Fate] = set()
        for user in node.users:
            if user.op == "output":
                found |= set() if id(owner) in seen else self._fates(id(owner), seen)
            elif is_product(user, node):
                found.add("gate")
            elif named(user, ASKED):
                continue
            elif named(user, VIEWS) or (user.op == "call_module" and isinstance(child_of(owner, user), KEPT)):
                found |= self._after(owner, user, seen)
            else:
                found.add("between")
        return found

    # ------------------------------------------------------------------ what comes before it

    def width_before(self, called: nn.Module | tuple[nn.Module, str]) -> set[tuple[int, str] | None]:
        """How many channels come in, and whether they are dimension `"1"` or the `"last"`; None where unknown."""
        calls = self.calls.get(key_of(called), [])
        return {self._width(call.owner, first_input(call.node), 0) for call in calls} or {None}

    def _width(self, owner: nn.Module, node: Any, depth: int) -> tuple[int, str] | None:
        if not isinstance(node, fx.Node) or depth > 100:
            return None
        if node.op == "placeholder":  # an input of its owner: what the owner is called with
            found = {self._width(call.owner, first_input(call.node), depth + 1) for call in self.calls_of(owner)}
            return found.pop() if len(found) == 1 else None
        if node.op == "output":
            return self._width(owner, node.args[0], depth + 1)
        if node.op == "call_module":
            child = child_of(owner, node)
            if width := own_width(child):
                return width
            if id(child) in self.outputs:
                return self._width(child, self.outputs[id(child)], depth + 1)
            keeps = isinstance(child, SAME_WIDTH) or is_activation(child)
            return self._width(owner, first_input(node), depth + 1) if keeps else None
        sums = (operator.add, operator.iadd, torch.add, "add", "add_")
        if node.target in sums:
            return next(filter(None, (self._width(owner, term, depth + 1) for term in node.args)), None)
        return None

    def calls_of(self, module: nn.Module) -> list[Call]:
        return self.calls.get(id(module), [])


def key_of(called: nn.Module | tuple[nn.Module, str]) -> object:
    return id(called) if isinstance(called, nn.Module) else (id(called[0]), called[1])


def held(module: nn.Module) -> list[str]:
    """Names of the plain attributes that are activation functions: `TransformerEncoderLayer.activation = F.relu`."""
    return [name for name, value in vars(module).items() if callable(value) and is_activation(value)]


def light_copy(module: nn.Module) -> nn.Module:
    """A copy to trace: what `forward` sets or changes in place stays in it; children and parameters are the same."""
    copied = nn.Module.__new__(type(module))  # copy.copy refuses a parametrized module
    copied.__dict__.update(module.__dict__)
    for name in ("_modules", "_parameters"):
        copied.__dict__[name] = dict(module.__dict__[name])
    buffers = module._buffers.items()
    copied.__dict__["_buffers"] = {name: None if value is None else value.clone() for name, value in buffers}
    for name in held(module):
        del copied.__dict__[name]
        copied.add_module(name, Held())
    return copied


def child_of(owner: nn.Module, node: fx.Node) -> nn.Module:
    """The module that a node calls; of a held function something that is none of interest."""
    try:
        return owner.get_submodule(str(node.target))
    except AttributeError:
        return Held()


def first_input(node: fx.Node) -> Any:
    return node.args[0] if node.args else next(iter(node.kwargs.values()), None)


def is_product(user: fx.Node, node: fx.Node) -> bool:
    """Whether it multiplies the output of `node` by another tensor that is computed, not a constant or a parameter."""
    others = [arg for arg in (*user.args, *user.kwargs.values()) if isinstance(arg, fx.Node) and arg is not node]
    return user.target in PRODUCTS and any(other.op != "get_attr" for other in others)


def named(node: fx.Node, names: set[str]) -> bool:
    """Whether it calls a method or a function of one of these names."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_method", "call_function") and name in names


def own_width(module: nn.Module) -> tuple[int, str] | None:
    """Channels of a layer's output, and their dimension."""
    if isinstance(module, nn.Linear):
        return module.out_features, "last"
    if isinstance(module, nn.modules.conv._ConvNd):
        return module.out_channels, "1"
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return module.num_features, "1"
    if isinstance(module, nn.GroupNorm):
        return module.num_channels, "1"
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return int(module.normalized_shape[-1]), "last"
    return None

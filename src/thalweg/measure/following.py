"""What follows each layer: the activation that comes next, through whatever lies between, read off one forward pass.

Modules and functions leave their mark on the nodes of autograd's graph that they made; the graph then says who reads
whose output. So `nn.ReLU`, `F.relu`, `x.relu_()` and a class of a library's own are the same.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thalweg.data.rows import Inputs, call
from thalweg.measure.oriented import scale_of, terms_of, unknown_layer
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import Watcher, followed, tensors_in
from thalweg.measure.weights import LAYERS, NORMS, Weight
from thalweg.parts.activations.recognize import activation_of, is_activation

SOFTMAX = frozenset({"softmax", "log_softmax", "scaled_dot_product_attention", "multi_head_attention_forward", "glu"})
NORMALIZE = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize"})
Node = Any  # of autograd's graph


@dataclass(frozen=True, eq=False)
class Maker:
    """A module or function that made nodes.

    Args:
        kind: `"layer"`, `"norm"`, `"activation"`, `"softmax"`, or `"input"`.
        name: what it is called: a class or a function.
        place: path of the module; empty for a function.
        function: of an activation, the function of each number, or its part.
    """

    kind: str
    name: str
    place: str = ""
    function: Any = None


@dataclass(frozen=True)
class Follower:
    """What comes next after a layer.

    Args:
        kind: `"activation"`, `"softmax"` (or a gate), `"layer"` (another one, nothing bending between) or `"output"`.
        name: the activation's, layer's or function's name.
        function: of an activation: its part, or the function itself where there is none.
        through: the normalization that is passed on the way, if any.
        normalized: whether nothing but that normalization reads the layer, so that the scale of its weights is lost.
        others: what follows besides, further on.
    """

    kind: str
    name: str
    function: Any = None
    through: str = ""
    normalized: bool = False
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        first = f"{self.through}, {self.name}" if self.through else self.name
        return " · ".join((first, *self.others))


@dataclass
class Course:
    """One forward pass: the graph, who made its nodes, and what follows each layer.

    Args:
        order: places of all modules in the order in which they began to run.
        makers: who made a node.
        ends: the last nodes of each place that made some, one per call.
        readers: the nodes that read a node's result, within what reaches the outputs.
        live: nodes that depend on the data.
        weights: of modules that are no layers of torch's, their one matrix, where it was found by running them.
        terms: rows that each `EmbeddingBag` sums up.
        calls: how often each module ran.
        scales: of normalizations that are not torch's, the tensor that the output is proportional to.
    """

    order: list[str] = field(default_factory=list)
    makers: dict[Node, Maker] = field(default_factory=dict)
    ends: dict[str, list[Node]] = field(default_factory=dict)
    readers: dict[Node, list[Node]] = field(default_factory=dict)
    live: set[Node] = field(default_factory=set)
    weights: dict[str, Weight] = field(default_factory=dict)
    terms: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    scales: dict[str, str] = field(default_factory=dict)

    def mark(self, outputs: object, maker: Maker, start: int, *, over: bool) -> None:
        """Notes `maker` at every node made since the clock stood at `start`; `over` replaces what is noted."""
        nodes: list[Node] = [t.grad_fn for t in tensors_in(outputs) if t.grad_fn is not None]
        made = [node for node in nodes if node._sequence_nr() > start]
        if maker.place:
            self.ends.setdefault(maker.place, []).extend(made)
        waiting, seen = made, set(made)
        while waiting:
            node = waiting.pop()
            if over or node not in self.makers:
                self.makers[node] = maker
            for before, _ in node.next_functions:
                if (
                    before is not None
                    and before not in seen
                    and before.next_functions
                    and before._sequence_nr() > start
                ):
                    seen.add(before)
                    waiting.append(before)

    def finish(self, outputs: object) -> None:
        """Reads the graph from the outputs back."""
        roots: list[Node] = [t.grad_fn for t in tensors_in(outputs) if t.grad_fn is not None]
        waiting, seen = list(roots), set(roots)
        while waiting:
            node = waiting.pop()
            for before, _ in node.next_functions:
                if before is None or not before.next_functions:
                    continue  # a parameter
                self.readers.setdefault(before, []).append(node)
                if before not in seen:
                    seen.add(before)
                    waiting.append(before)
        for node in sorted(seen, key=lambda node: int(node._sequence_nr())):
            maker = self.makers.get(node)
            fed = any(before in self.live for before, _ in node.next_functions)
            if fed or (maker is not None and maker.kind in ("layer", "input")):
                self.live.add(node)

    def follower(self, place: str) -> Follower | None:
        """What comes next after the layer at `place`; None where it did not run or its output is not used."""
        found: list[Follower] = []
        waiting = deque((node, "") for node in self.ends.get(place, ()))
        seen = {node for node, _ in waiting}
        while waiting:
            node, through = waiting.popleft()
            following = self.readers.get(node, [])
            if not following and node in self.live:
                found.append(Follower("output", "output", through=through))
            for reader in following:
                maker = self.makers.get(reader)
                if maker is not None and maker.kind in ("activation", "softmax", "layer") and maker.place != place:
                    found.append(Follower(maker.kind, maker.name, maker.function, through))
                elif reader not in seen:
                    seen.add(reader)
                    is_norm = maker is not None and maker.kind == "norm"
                    waiting.append((reader, maker.name if maker is not None and is_norm else through))
        return self.nearest(place, found) if found else None

    def nearest(self, place: str, found: list[Follower]) -> Follower:
        """The first one found, which the fewest operations lie before; the other activations are named."""
        first = found[0]
        names = dict.fromkeys(str(f) for f in found if f.kind == "activation" and f.name != first.name)
        return Follower(first.kind, first.name, first.function, first.through, self.normalized(place), tuple(names))

    def normalized(self, place: str) -> bool:
        """Whether all that reads the layer's output is one normalization, with nothing added before it."""
        nodes = self.ends.get(place, [])
        while len(nodes) == 1:
            following = list(dict.fromkeys(self.readers.get(nodes[0], [])))
            kinds = {self.makers.get(node) for node in following}
            if len(kinds) == 1 and (maker := kinds.pop()) is not None and maker.place != place:
                return maker.kind == "norm"
            if any(len([b for b, _ in node.next_functions if b in self.live]) > 1 for node in following):
                return False
            nodes = following
        return False


def follow(network: nn.Module, inputs: Inputs) -> Course:
    """One forward pass on `inputs`, in evaluation mode; the network and the random generators stay as they are.

    >>> from torch.nn import functional as F
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.first, self.norm, self.last = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)
    ...     def forward(self, x):
    ...         return self.last(F.gelu(self.norm(self.first(x))))
    >>> course = follow(Net(), torch.randn(4, 4))
    >>> print(course.follower("first"), "|", course.follower("last"))
    BatchNorm1d, GELU | output
    """
    course = Course()
    with untouched(network), watching(network, course), Functions(course):
        start = clock()
        given = followed(inputs, Watcher())
        course.mark(given if not hasattr(given, "value") else given.value, Maker("input", "input"), start, over=True)
        course.finish(call(network, given))
    return course


@contextmanager
def watching(network: nn.Module, course: Course) -> Iterator[None]:
    """Hooks on every module, removed afterwards."""
    handles: list[Any] = []
    for place, module in network.named_modules():
        handles += hooks(place, module, course)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def hooks(place: str, module: nn.Module, course: Course) -> Iterable[Any]:
    maker = maker_of(place, module)
    bends = isinstance(module, NORMS) and any(map(is_activation, module.children()))  # as timm's BatchNormAct2d
    starts: list[int] = []  # a stack: a module may be called inside of itself

    def enter(*_: Any) -> None:
        starts.append(clock())
        if place not in course.calls:
            course.order.append(place)
        course.calls[place] = course.calls.get(place, 0) + 1

    def leave(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: object) -> None:
        start, known = starts.pop(), maker
        if isinstance(module, nn.EmbeddingBag):
            course.terms.setdefault(place, terms_of(module, given, named))
        if known is None:
            found = unknown_layer(module, given, output)
            if isinstance(found, Weight):
                course.weights[place] = found
                known = Maker("layer", type(module).__name__, place)
            elif found == "norm":
                known = Maker("norm", type(module).__name__, place)
                if (scale := scale_of(module, given, output)) is not None:
                    course.scales[place] = scale
        if known is not None:  # what only behaves like a normalization may have one inside, and an activation after it
            whole = known is maker and not bends
            course.mark(output, known, start, over=whole or known.kind == "layer")

    yield module.register_forward_pre_hook(enter)
    yield module.register_forward_hook(leave, with_kwargs=True)


def maker_of(place: str, module: nn.Module) -> Maker | None:
    """What a module is, where its class or its behavior on a few numbers says so."""
    name = type(module).__name__
    if isinstance(module, LAYERS):
        return Maker("layer", name.removeprefix("Parametrized"), place)
    if isinstance(module, NORMS):
        return Maker("norm", name, place)
    if isinstance(module, nn.Softmax | nn.LogSoftmax | nn.Softmax2d):
        return Maker("softmax", name, place)
    if is_activation(module):
        part = activation_of(module)
        return Maker("activation", type(part).__name__ if part else name, place, part or module)
    return None


def clock() -> int:
    """The number that autograd gives to the node it makes next, less one."""
    node: Any = torch.zeros((), requires_grad=True).exp().grad_fn
    return int(node._sequence_nr())


class Functions(TorchFunctionMode):
    """Marks what activations, softmaxes and normalizations that are called as functions make."""

    def __init__(self, course: Course) -> None:
        super().__init__()
        self.course = course

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        maker = function_maker(function, args, dict(kwargs or {}))
        if maker is None:
            return function(*args, **(kwargs or {}))
        start = clock()
        output = function(*args, **(kwargs or {}))
        self.course.mark(output, maker, start, over=False)
        return output


def function_maker(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Maker | None:
    """What one of torch's functions is, with its settings."""
    name = getattr(function, "__name__", "").rstrip("_")
    if name in SOFTMAX:
        return Maker("softmax", "attention" if "attention" in name else name)
    if name in NORMALIZE:
        return Maker("norm", name)
    if not is_activation(function):
        return None
    settings = {**named_settings(function, args), **kwargs}
    settings = {key: value for key, value in settings.items() if not isinstance(value, Tensor) and key != "inplace"}
    part = activation_of(partial(function, **settings))
    if part is not None:
        return Maker("activation", type(part).__name__, function=part)
    return Maker("activation", name, function=apart(function, settings))


def named_settings(function: Any, args: tuple[Any, ...]) -> dict[str, Any]:
    """Positional arguments after the first by name, where the function says its names."""
    try:
        names = list(signature(function).parameters)
    except (TypeError, ValueError):  # a builtin
        return {}
    return dict(zip(names[1:], args[1:], strict=False))


def apart(function: Callable[..., Tensor], settings: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    """The function of each number, which leaves its argument as it is."""
    return lambda x: function(x.clone(), **settings)

"""Which batch norms could be a part of the layer before them, as one forward pass shows it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Inputs, call
from thalweg.measure.watcher import tensors_in
from thalweg.parts.normalization.modules.ghost import GhostBatchNormNd
from thalweg.parts.normalization.modules.synchronized import SyncBatchNormNd

# Classes whose evaluation is known, the more special first.
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
KINDS: tuple[Any, ...] = (*LAYERS, nn.SyncBatchNorm, GhostBatchNormNd, SyncBatchNormNd, _BatchNorm, nn.Module)
Pair = tuple[str, str]  # places of a layer and of the batch norm that alone reads its output


def foldable(network: nn.Module, inputs: Inputs) -> tuple[list[Pair], dict[str, str]]:
    """Pairs of a linear or convolutional layer and the batch norm that alone reads its output.

    Proven by a pass in evaluation mode that sees every operation: the norm receives the very tensor that the layer
    returned; no other operation reads that tensor, and it is not returned by the network; both run once; nothing else
    uses their weights. What depends on the values of the inputs, as a branch does, is seen for these inputs only.

    Args:
        network: any module; it and the random generators stay as they are.
        inputs: a few rows as they enter it.

    Returns:
        The pairs, in the order in which they run, and for every other batch norm the reason why it is none.

    >>> network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.BatchNorm1d(8))
    >>> foldable(network, torch.zeros(2, 4))
    ([('0', '1')], {'3': 'what comes in is not as a linear or convolutional layer gave it'})
    """
    trace = Trace(network)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with hooked(network, trace), global_rng_kept(), torch.no_grad(), trace:
            returned = call(network, inputs)
    finally:
        for module, mode in modes:
            module.training = mode
    trace.readers.update(id(tensor) for tensor in tensors_in(returned))
    pairs, others = [], {}
    for norm, place in trace.norms.items():
        layer = trace.sources.get(norm)
        reason = trace.obstacle(layer, norm)
        if reason or layer is None:
            others[place] = reason
        else:
            pairs.append((trace.layers[layer], place))
    return pairs, others


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Who made which tensor, who read it, and who ran how often, in one forward pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        modules = [(place, module) for place, module in network.named_modules() if place]
        self.layers: dict[nn.Module, str] = {m: place for place, m in modules if isinstance(m, nn.Linear | _ConvNd)}
        self.norms: dict[nn.Module, str] = {m: place for place, m in modules if isinstance(m, _BatchNorm)}
        self.owners = Counter(id(p) for m in network.modules() for p in m._parameters.values() if p is not None)
        self.calls: Counter[nn.Module] = Counter()
        self.makers: dict[int, nn.Module] = {}  # of outputs, by id
        self.outputs: list[Tensor] = []  # held, so that no id is used again
        self.sources: dict[nn.Module, nn.Module | None] = {}  # of norms
        self.readers: Counter[int] = Counter()  # operations outside of the layer or norm itself, by the tensor's id
        self.running: list[nn.Module] = []  # layers and norms
        self.read: set[int] = set()  # what the running norm reads by right

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inside = self.running[-1] if self.running else None
        own = set() if inside is None else {id(t) for t in (*inside.parameters(False), *inside.buffers(False))}
        for tensor in tensors_in((args, kwargs or {})):
            if id(tensor) not in own | self.read:
                self.readers[id(tensor)] += 1
        return func(*args, **(kwargs or {}))

    def enter(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        self.calls[module] += 1
        self.running.append(module)
        if module in self.norms and given:
            self.sources[module] = self.makers.get(id(given[0]))
            self.read = {id(given[0])}

    def leave(self, module: nn.Module, output: Any) -> None:
        self.running.pop()
        self.read = set()
        if module in self.layers:
            self.makers[id(output)] = module
            self.outputs.append(output)
            self.readers[id(output)] = 0  # of a tensor that was freed, whose id this one got

    def obstacle(self, layer: Any, norm: Any) -> str:
        """Why the norm cannot become a part of the layer; empty where it can."""
        if not self.calls[norm]:
            return "it did not run"
        if norm.running_mean is None or is_lazy(norm.running_mean):
            return "it has no running estimates"
        if self.calls[norm] > 1 or self.calls[layer] > 1:
            return "it or the layer before it runs more than once"
        if layer is None:
            return "what comes in is not as a linear or convolutional layer gave it"
        output = next(output for output in self.outputs if self.makers[id(output)] is layer)
        if not (plain(layer) and plain(norm)):
            return "it or the layer before it has hooks or a forward of its own"
        own = [t for m in (layer, norm) for t in (*m.parameters(recurse=False), *m.buffers(recurse=False))]
        if is_parametrized(layer) or is_parametrized(norm):
            return "the weight of the layer before it is parametrized"
        if self.readers[id(output)]:
            return "something else reads the output of the layer before it"
        if any(self.owners[id(p)] > 1 or self.readers[id(p)] for p in own):
            return "its weights, or those of the layer before it, are used elsewhere too"
        units_in_dimension_1 = output.dim() == (2 if isinstance(layer, nn.Linear) else len(layer.kernel_size) + 2)
        return "" if units_in_dimension_1 else "it normalizes another dimension than that of the layer's units"


def plain(module: nn.Module) -> bool:
    """Whether a layer or norm computes what torch's class does: a subclass may standardize its weight, or activate."""
    known = next(kind for kind in KINDS if isinstance(module, kind))
    own_hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
    return not own_hooks and type(module).forward is known.forward


@contextmanager
def hooked(network: nn.Module, trace: Trace) -> Iterator[None]:
    """Tells `trace` of the calls of its layers and norms."""
    handles = []
    for module in (*trace.layers, *trace.norms):
        handles.append(module.register_forward_pre_hook(lambda module, given: trace.enter(module, given)))
        handles.append(module.register_forward_hook(lambda module, _, output: trace.leave(module, output)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

"""Changes of networks before their first step: other activations, norms between layers, another last operation.

Each takes a network and a few rows as they enter it and returns a changed clone, or None where nothing is to change.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg.data.rows import Batch, Inputs, call
from thalweg.doctor.frozen import is_fresh
from thalweg.doctor.trials import with_relu
from thalweg.measure.hidden_calls import hidden_calls
from thalweg.measure.stacks import WEIGHTED
from thalweg.measure.untouched import untouched
from thalweg.probes.headless import without_head
from thalweg.probes.swapped import Apply, swapped
from thalweg.probes.unshared import own_layers, own_norms
from thalweg.train.clone import clone

Function = Callable[[Tensor], Tensor]
NORMS = (
    *(nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm),
)  # with one of them a network is normalized already
BATCH_NORMS = {
    nn.Linear: nn.BatchNorm1d,
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
}
FUNCTIONS = frozenset({"relu", "relu6", "sigmoid", "tanh", "hardsigmoid", "softsign", "softmax", "log_softmax"})
NEARLY = 1e-5


@dataclass(frozen=True)
class Called:
    """A module without parameters, or a weight layer, as it ran: its place, and its input and output."""

    place: str
    module: nn.Module
    given: Tensor
    made: Tensor


@dataclass(frozen=True)
class WithActivation:
    """Another activation between the layers, whatever stands there: a module of any kind, or a function torch names.

    Args:
        function: of each number.
        names: of the functions to replace; modules are replaced whatever they compute if it is empty.
    """

    function: Function
    names: frozenset[str] = frozenset()

    def __call__(self, network: nn.Module, sample: Inputs) -> nn.Module | None:
        if isinstance(sample, Batch):
            return None
        changed = swapped(network, hidden_calls(network, sample), self.names or FUNCTIONS, self.function)
        if self.names:
            return changed
        found = clone(network) if changed is None else changed
        places = [c.place for c in between_layers(found, sample) if not is_own(c.module, self.function)]
        for place in places:
            found.set_submodule(place, Apply(self.function))
        return found if places else changed


def is_own(module: nn.Module, function: Function) -> bool:
    return isinstance(module, Apply) and module.function is function


def calls_of(network: nn.Module, sample: Inputs) -> list[Called]:
    """The calls of modules without children that take a tensor and make one, in the order of a pass."""
    made: list[Called] = []
    handles = []
    for place, module in network.named_modules():
        if not place or next(module.children(), None) is not None or isinstance(module, nn.Identity):
            continue

        def note(module: nn.Module, given: tuple[object, ...], output: object, place: str = place) -> None:
            if given and isinstance(given[0], Tensor) and isinstance(output, Tensor):
                made.append(Called(place, module, given[0].detach().clone(), output.detach()))

        handles.append(module.register_forward_hook(note))
    with untouched(network), torch.no_grad():
        call(network, sample)
    for handle in handles:
        handle.remove()
    return made


def between_layers(network: nn.Module, sample: Inputs) -> list[Called]:
    """Modules that compute something of each number by itself, after a weight layer and before another one."""
    made = calls_of(network, sample)
    layers = [k for k, c in enumerate(made) if isinstance(c.module, WEIGHTED)]
    if len(layers) < 2:
        return []
    inside = made[layers[0] + 1 : layers[-1]]
    return [c for c in inside if is_elementwise(c)]


def is_elementwise(called: Called) -> bool:
    """Whether a module without parameters changes numbers, each by itself: seen by giving it half of each row."""
    if called.made.shape != called.given.shape or next(called.module.parameters(), None) is not None:
        return False
    if torch.equal(called.made, called.given) or not len(called.given):
        return False
    flat = called.given.reshape(-1)
    half = flat[: max(len(flat) // 2, 1)]
    try:
        with torch.no_grad():
            again = called.module(half)
    except (RuntimeError, IndexError, ValueError, TypeError, AssertionError):
        return False  # it needs its shape: pooling, softmax over a dimension
    wanted = called.made.reshape(-1)[: len(half)]
    known = wanted.isfinite()
    return bool((again.reshape(-1)[known] - wanted[known]).abs().le(NEARLY * (1 + wanted[known].abs())).all())


def with_batch_norm(network: nn.Module, sample: Inputs) -> nn.Module | None:
    """Batch norm after every weight layer but the last; None where there are norms already."""
    if isinstance(sample, Batch) or any(isinstance(m, NORMS) for m in network.modules()):
        return None
    layers = [c for c in calls_of(network, sample) if isinstance(c.module, WEIGHTED)]
    ids = [id(c.module) for c in layers]
    hidden = [c for c in layers[:-1] if ids.count(id(c.module)) == 1]
    # A linear layer that is applied to each position has its features in the last dimension.
    hidden = [c for c in hidden if not (isinstance(c.module, nn.Linear) and c.made.dim() != 2)]
    changed = clone(network)
    for c in hidden:
        layer = changed.get_submodule(c.place)
        norm = next(norm for kind, norm in BATCH_NORMS.items() if isinstance(layer, kind))
        weight = layer.get_parameter("weight")
        added = norm(c.made.shape[1]).to(device=weight.device, dtype=weight.dtype)
        changed.set_submodule(c.place, nn.Sequential(layer, added))
    return changed if hidden else None


def without_last(network: nn.Module, sample: Inputs) -> nn.Module | None:
    """Without the last operation on the outputs: free numbers."""
    return without_head(network, sample)


@dataclass(frozen=True)
class WithLast:
    """Another last operation instead of the network's own, or behind free numbers."""

    module: Callable[[], nn.Module]

    def __call__(self, network: nn.Module, sample: Inputs) -> nn.Module | None:
        if isinstance(sample, Batch):
            return None
        free = without_head(network, sample)
        return nn.Sequential(clone(network) if free is None else free, self.module())


def flat(network: nn.Module, sample: Inputs) -> nn.Module | None:
    """One number per row as `[N]` instead of `[N, 1]`, which would broadcast with targets `[N]` to `[N, N]`."""
    if isinstance(sample, Batch):
        return None
    with untouched(network), torch.no_grad():
        output = call(network, sample)
    if not isinstance(output, Tensor) or output.dim() != 2 or output.shape[1] != 1:
        return None
    return nn.Sequential(clone(network), nn.Flatten(0))


@dataclass(frozen=True)
class WithOutputs:
    """A last layer with so many outputs, drawn as torch draws it, and nothing behind it."""

    count: int

    def __call__(self, network: nn.Module, sample: Inputs) -> nn.Module | None:
        if isinstance(sample, Batch):
            return None
        free = without_head(network, sample) or clone(network)
        made = calls_of(free, sample)
        if not made or type(made[-1].module) is not nn.Linear:
            return None
        last = made[-1].module
        weight = last.weight
        new = nn.Linear(
            last.in_features, self.count, bias=last.bias is not None, device=weight.device, dtype=weight.dtype
        )
        free.set_submodule(made[-1].place, new)
        return free


@dataclass(frozen=True)
class WithReLU:
    """ReLU after the first layer of each pair `"first → last"` that nothing stands between."""

    places: tuple[str, ...]

    def __call__(self, network: nn.Module, _sample: Inputs) -> nn.Module | None:
        return with_relu(network, list(self.places)) if self.places else None


@dataclass(frozen=True)
class OwnNorms:
    """A norm for each call, given how often each place is called."""

    calls: tuple[tuple[str, int], ...]

    def __call__(self, network: nn.Module, _sample: Inputs) -> nn.Module | None:
        return own_norms(network, dict(self.calls)) if self.calls else None


@dataclass(frozen=True)
class OwnLayers:
    """A layer for each place, where one stands at several."""

    places: tuple[str, ...]

    def __call__(self, network: nn.Module, _sample: Inputs) -> nn.Module | None:
        return own_layers(network, self.places) if self.places else None


def unfrozen(network: nn.Module, _sample: Inputs) -> nn.Module | None:
    """Weights that were drawn at random and frozen learn, too; those that were trained or computed stay frozen."""
    changed = clone(network)
    owners = dict(changed.named_modules())
    frozen = [(name, p) for name, p in changed.named_parameters() if not p.requires_grad]
    fresh = {name.rpartition(".")[0] for name, p in frozen if is_fresh(owners[name.rpartition(".")[0]], name, p)}
    for name, parameter in frozen:
        if name.rpartition(".")[0] in fresh:
            parameter.requires_grad_(True)
    return changed if fresh else None


def registered(network: nn.Module, _sample: Inputs) -> nn.Module | None:
    """Modules that stand in plain Python lists become the network's own, in an `nn.ModuleList`."""
    changed = clone(network)
    found = False
    for module in list(changed.modules()):
        for name, value in list(vars(module).items()):
            if isinstance(value, list) and value and all(isinstance(each, nn.Module) for each in value):
                delattr(module, name)
                setattr(module, name, nn.ModuleList(value))
                found = True
    return changed if found else None

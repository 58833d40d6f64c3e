"""Clones of a network in which some activations between layers are others."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thalweg.measure.hidden_calls import MODULES, Called, Hidden, name_of
from thalweg.train.clone import clone

Function = Callable[[Tensor], Tensor]


class Apply(nn.Module):
    """A function of each number as a module."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def swapped(network: nn.Module, hidden: Hidden, names: frozenset[str], function: Function) -> nn.Module | None:
    """A clone with `function` instead of the activations of these names that feed layers; None where there are none.

    A module that is called at several places is replaced only if all of them feed layers. Calls written as functions
    are recognized by their number within the forward pass.

    >>> import torch
    >>> from thalweg.measure.hidden_calls import hidden_calls
    >>> network = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 1), nn.Sigmoid())
    >>> changed = swapped(network, hidden_calls(network, torch.zeros(2, 4)), frozenset({"sigmoid"}), torch.relu)
    >>> changed[1], changed[3]
    (Apply(), Sigmoid())
    """
    wanted = hidden.named(names)
    kept = {id(network.get_submodule(c.place)) for c in hidden.calls if c.module and c not in hidden.feeding}
    modules = {c.place for c in wanted if c.module and id(network.get_submodule(c.place)) not in kept}
    functions = [c for c in wanted if not c.module]
    if not modules and not functions:
        return None
    changed = clone(network)
    gone = {id(changed.get_submodule(place)) for place in modules}
    for parent in list(changed.modules()):
        for name, child in list(parent.named_children()):
            if id(child) in gone:
                setattr(parent, name, Apply(function))
    if functions:
        swap_functions(changed, numbers(hidden, set(functions)), function)
    return changed


def numbers(hidden: Hidden, functions: set[Called]) -> dict[str, set[int]]:
    """Of each name the numbers of the calls to swap, among the calls that are written as functions."""
    counts: dict[str, int] = {}
    found: dict[str, set[int]] = {}
    for made in hidden.calls:
        if made.module:
            continue
        if made in functions:
            found.setdefault(made.name, set()).add(counts.get(made.name, 0))
        counts[made.name] = counts.get(made.name, 0) + 1
    return found


def swap_functions(network: nn.Module, wanted: Mapping[str, set[int]], function: Function) -> None:
    """Hooks that watch the network's calls of functions while it runs; copies of the network keep them."""
    running: list[_Swapping] = []

    def enter(*_: Any) -> None:
        running.append(_Swapping(wanted, function))
        running[-1].__enter__()  # type: ignore[no-untyped-call]

    def leave(*_: Any) -> None:
        running.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def into(*_: Any) -> None:
        if running:
            running[-1].inside = True

    def out_of(*_: Any) -> None:
        if running:
            running[-1].inside = False

    for module in network.modules():
        if type(module) in MODULES:
            module.register_forward_pre_hook(into)
            module.register_forward_hook(out_of, always_call=True)
    network.register_forward_pre_hook(enter)
    network.register_forward_hook(leave, always_call=True)


class _Swapping(TorchFunctionMode):
    """Calls another function at the numbers wanted; what activation modules call is not counted."""

    def __init__(self, wanted: Mapping[str, set[int]], function: Function) -> None:
        super().__init__()
        self.wanted, self.function = wanted, function
        self.counts: dict[str, int] = {}
        self.inside = False

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = name_of(function)
        if name is not None and name in self.wanted and not self.inside:
            number = self.counts.get(name, 0)
            self.counts[name] = number + 1
            if number in self.wanted[name]:
                return self.function(args[0] if args else (kwargs or {})["input"])
        return function(*args, **(kwargs or {}))

"""Clones of a network in which modules that stand at several places have one copy for each of them."""

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

from thalweg.measure.sharing import CONTAINERS
from thalweg.train.clone import clone


class InTurn(nn.Module):
    """Copies of a module that are called one after the other, and from the first again after the last.

    Args:
        module: what is copied.
        calls: how often it is called in one pass.
    """

    def __init__(self, module: nn.Module, calls: int) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copy.deepcopy(module) for _ in range(calls))
        self.turn = 0

    def forward(self, *args: Any, **named: Any) -> Any:
        current = self.copies[self.turn]
        self.turn = (self.turn + 1) % len(self.copies)
        return current(*args, **named)


def own_norms(network: nn.Module, calls: dict[str, int]) -> nn.Module:
    """A clone with one norm for each call, given the number of calls in a pass by the norm's place.

    >>> norm = nn.BatchNorm1d(2)
    >>> network = nn.Sequential(norm, nn.ReLU(), norm)
    >>> changed = own_norms(network, {"0": 2})
    >>> changed[0] is changed[2], len(list(changed.parameters())), len(list(network.parameters()))
    (True, 4, 2)
    """
    changed = clone(network)
    for place, number in calls.items():
        norm = changed.get_submodule(place)
        instead = InTurn(norm, number)
        for module in list(changed.modules()):
            for name, child in list(module._modules.items()):
                if child is norm and not isinstance(module, InTurn) and module is not instead.copies:
                    module._modules[name] = instead
    return changed


def own_layers(network: nn.Module, places: Sequence[str]) -> nn.Module:
    """A clone whose containers hold a copy for each time that they hold one of these modules: the same start.

    >>> layer = nn.Linear(2, 2)
    >>> changed = own_layers(nn.Sequential(*[layer] * 3), ["0"])
    >>> len(list(changed.parameters()))
    6
    """
    changed = clone(network)
    shared = [changed.get_submodule(place) for place in places]
    for module in list(changed.modules()):
        if not isinstance(module, CONTAINERS):
            continue
        met: set[nn.Module] = set()
        for name, child in list(module._modules.items()):
            if child is not None and any(child is one for one in shared):
                module._modules[name] = copy.deepcopy(child) if child in met else child
                met.add(child)
    return changed

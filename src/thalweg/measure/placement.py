"""Where normalizations and dropout stand (L09, L14): biases that a batch norm undoes, dropout before a batch norm."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from thalweg.data.rows import Inputs, call, num_rows
from thalweg.measure.hidden_calls import reached
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.readings import Reading

LAYERS = (nn.Linear, _ConvNd)
SHIFT = 1.0  # of the biases, in units of the layer's deviation


def placement(network: nn.Module, inputs: Inputs) -> list[Reading]:
    """Readings `bias.undone` per layer and `dropout.before_norm` per batch norm, of one pass in training mode.

    `bias.undone` is the relative change of the network's outputs when the biases of all layers that only feed a batch
    or instance norm are shifted, each number by its own amount; `count` is how many numbers the layer's bias has.
    `dropout.before_norm` is 1 where the outputs of a dropout reach a batch norm with no weight layer between.

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    >>> found = placement(net, torch.randn(16, 4))
    >>> [(r.name, r.place, r.value < 1e-4, r.count) for r in found]
    [('bias.undone', '0', True, 8)]
    """
    if num_rows(inputs) < 2:
        return []
    trace = _Trace()
    with untouched(network, training=True):
        torch.manual_seed(0)  # the same dropout in both passes; `untouched` brings the generator back
        with traced(network, trace):
            before = outputs_of(network, inputs)
        found = dropouts(trace)
        places = undone(network, trace)
        if places and before is not None:
            change = change_by_shift(network, inputs, places, before)
            found += [Reading("bias.undone", change, place, count=bias_of(network, place).numel()) for place in places]
    return found


class _Trace:
    """What one pass saw: nodes of layers, of dropouts, and what enters each normalization and layer."""

    def __init__(self) -> None:
        self.layers: dict[Any, str] = {}
        self.dropouts: dict[Any, str] = {}
        self.norms: dict[str, list[Any]] = {}


@contextmanager
def traced(network: nn.Module, trace: _Trace) -> Iterator[None]:
    handles: list[Any] = []
    for place, module in network.named_modules():
        if not isinstance(module, (*LAYERS, _DropoutNd, _BatchNorm, _InstanceNorm)):
            continue

        def look(module: nn.Module, given: tuple[Any, ...], output: object, place: str = place) -> None:
            nodes = [t.grad_fn for t in tensors_in(output) if t.grad_fn is not None]
            if isinstance(module, _DropoutNd):
                trace.dropouts.update(dict.fromkeys(nodes, place))
                return
            if isinstance(module, LAYERS):
                trace.layers.update(dict.fromkeys(nodes, place))
            else:
                trace.norms.setdefault(place, []).extend(t.grad_fn for t in tensors_in(given) if t.grad_fn is not None)

        handles.append(module.register_forward_hook(look))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def outputs_of(network: nn.Module, inputs: Inputs) -> Tensor | None:
    """All numbers of the outputs in a row."""
    values = [t for t in tensors_in(call(network, inputs)) if t.is_floating_point()]
    return torch.cat([t.detach().double().reshape(-1) for t in values]) if values else None


def dropouts(trace: _Trace) -> list[Reading]:
    found = []
    for place, fed in trace.norms.items():
        nodes = reached(fed, set(trace.dropouts), set(trace.layers))
        found += [Reading("dropout.before_norm", 1.0, place, note=trace.dropouts[n]) for n in list(nodes)[:1]]
    return found


def undone(network: nn.Module, trace: _Trace) -> list[str]:
    """Layers with a bias whose output enters a batch or instance norm as it is."""
    fed = {node for nodes in trace.norms.values() for node in nodes}
    places = dict.fromkeys(place for node, place in trace.layers.items() if node in fed)
    return [place for place in places if getattr(network.get_submodule(place), "bias", None) is not None]


def bias_of(network: nn.Module, place: str) -> Tensor:
    return network.get_submodule(place).get_parameter("bias")


@torch.no_grad()
def change_by_shift(network: nn.Module, inputs: Inputs, places: list[str], before: Tensor) -> float:
    """The relative change of the outputs with all these biases shifted; the biases are put back."""
    kept = [bias_of(network, place).detach().clone() for place in places]
    try:
        for place in places:
            bias = bias_of(network, place)
            bias.add_(SHIFT * torch.linspace(-1, 1, bias.numel(), dtype=bias.dtype, device=bias.device))
        torch.manual_seed(0)
        after = outputs_of(network, inputs)
    finally:
        for place, value in zip(places, kept, strict=True):
            bias_of(network, place).copy_(value)
    assert after is not None
    return float((after - before).norm() / before.norm().clamp_min(1e-30))

"""Modules that stand at several places of one network, and what their sharing does."""

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.data.rows import Inputs, call
from thalweg.measure.untouched import untouched
from thalweg.readings import Reading

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
MOST_CALLS = 64  # of one norm in a forward pass: a recurrent loop calls its norm at every step


def describe_sharing(network: nn.Module, inputs: Inputs) -> list[Reading]:
    """Readings `norm.apart` and `layer.repeated`, none for most networks.

    `norm.apart`, of each batch norm with running estimates that is called several times in one pass: how far its
    answers in evaluation are from those in training because all calls k share one running mean and variance,

        max_k sqrt(mean_c [(m_kc - m_c)² / v_c + (sqrt(v_kc / v_c) - 1)²]),   m, v the means over the calls,

    in deviations of its outputs; 0 where all calls see the same statistics. Its count is the number of calls.

    `layer.repeated`, of each module with weights that one container holds several times, `[block] * 6`: how often. Its
    count is the number of its weights.

    Args:
        network: as it starts; nothing of it changes.
        inputs: rows, 32 or more: the statistics of two calls on fewer rows differ by chance.

    >>> norm = nn.BatchNorm1d(1)
    >>> class Shared(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.norm = norm
    ...     def forward(self, x):
    ...         return self.norm(x) + self.norm(7 * x)  # deviations 1 and 7; together sqrt((1 + 49) / 2) = 5
    >>> x = torch.tensor([[-1.0], [1.0]])
    >>> [round(reading.value, 3) for reading in describe_sharing(Shared(), x)]  # 1 - 1 / 5
    [0.8]
    """
    return [*apart(network, inputs), *repeated(network)]


def apart(network: nn.Module, inputs: Inputs) -> Iterator[Reading]:
    seen: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}

    def note(module: nn.Module, given: tuple[object, ...]) -> None:
        calls = seen.setdefault(module, [])
        value = given[0] if given else None
        if isinstance(value, Tensor) and value.dim() > 1 and len(calls) <= MOST_CALLS:
            channels = value.detach().double().movedim(1, 0).flatten(1)
            calls.append((channels.mean(1), channels.var(1, correction=0)))

    norms = {m: place for place, m in network.named_modules() if isinstance(m, _BatchNorm) and m.track_running_stats}
    if not norms:
        return
    with untouched(network, training=True), torch.no_grad():
        handles = [norm.register_forward_pre_hook(note) for norm in norms]
        try:
            call(network, inputs)
        finally:
            for handle in handles:
                handle.remove()
    for norm, place in norms.items():
        calls = seen.get(norm, [])
        if 1 < len(calls) <= MOST_CALLS:
            yield Reading("norm.apart", distance(calls, norm.eps), place, count=len(calls), note=type(norm).__name__)


def distance(calls: list[tuple[Tensor, Tensor]], epsilon: float) -> float:
    """What sharing one mean and variance does to the outputs of the call that differs most, in their deviations."""
    means, variances = (torch.stack(parts) for parts in zip(*calls, strict=True))
    mean, variance = means.mean(0), variances.mean(0) + epsilon
    shift = (means - mean).square() / variance
    stretch = (((variances + epsilon) / variance).sqrt() - 1).square()
    return float((shift + stretch).mean(1).max().sqrt())


def repeated(network: nn.Module) -> Iterator[Reading]:
    for place, size, times in repetitions(network):
        yield Reading("layer.repeated", times, place, count=size)


def repetitions(network: nn.Module) -> Iterator[tuple[str, int, int]]:
    """`(place, weights, times)` of each module with weights that one container holds several times."""
    for place, module in network.named_modules():
        if isinstance(module, CONTAINERS):
            times = Counter(child for child in module._modules.values() if child is not None)
            first = {child: name for name, child in reversed(list(module._modules.items()))}
            for child, count in times.items():
                size = sum(p.numel() for p in child.parameters())
                if count > 1 and size:
                    yield f"{place}.{first[child]}" if place else first[child], size, count

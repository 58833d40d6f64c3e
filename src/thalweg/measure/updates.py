"""Gradients, weights and their updates per layer, measured around one optimizer step."""

from collections.abc import Iterable, Sequence
from functools import cache
from math import ceil, gcd, isfinite, sqrt
from statistics import median

import torch
from torch import Tensor

from thalweg.readings import Reading

MAX_ENTRIES = 2**18  # of a parameter that are copied


class Updates:
    """Norms of one step. The weights are copied before it, because the update is exact only as a difference.

    Of a parameter of more than 2**18 entries the update is measured on every k-th, so that a copy of a large network is
    never made; the norm of the rest is taken to be alike.

    Args:
        names: of the trainable parameters, tied ones once.
        parameters: the same order; they are read, never written.
        gradients: None for a parameter that received none; may be sparse.
    """

    @torch.no_grad()
    def __init__(self, names: Sequence[str], parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
        self.names = names
        self.parameters = [p.detach() for p in parameters]
        self.samples = [sample(p) for p in self.parameters]
        self.before = [values.clone() for values in self.samples]
        self.weights = norms(self.parameters)
        self.with_gradient = [k for k, g in enumerate(gradients) if g is not None]
        self.gradients = norms([values_of(g) for g in gradients if g is not None])
        self.updates: list[Tensor] = []

    @torch.no_grad()
    def finish(self) -> None:
        """Reads the update after the optimizer's step."""
        found = norms(torch._foreach_sub(self.samples, self.before))
        shares = [s.numel() / p.numel() for s, p in zip(self.samples, self.parameters, strict=True)]
        self.updates = [norm if share == 1 else norm / sqrt(share) for norm, share in zip(found, shares, strict=True)]
        self.before = []

    def scalars(self) -> list[Tensor]:
        return [*self.weights, *self.gradients, *self.updates]

    def readings(self, values: list[float], step: int) -> list[Reading]:
        """Readings per layer from the host values of `scalars`."""
        count = len(self.names)
        weights = values[:count]
        gradients = dict(zip(self.with_gradient, values[count:], strict=False))
        updates = values[count + len(gradients) :]
        found, ratios = [], []
        for layer, members in layers_of(tuple(self.names)).items():
            size = sum(self.parameters[k].numel() for k in members)
            weight = length(weights[k] for k in members)
            found.append(Reading("weight.rms", weight / sqrt(size), layer, step))
            if graded := [k for k in members if k in gradients]:
                size = sum(self.parameters[k].numel() for k in graded)
                found.append(Reading("gradient.rms", length(gradients[k] for k in graded) / sqrt(size), layer, step))
            if updates and weight > 0:
                ratios.append(length(updates[k] for k in members) / weight)
                found.append(Reading("update.ratio", ratios[-1], layer, step))
        if ratios:
            found.append(Reading("update.ratio", median(r if isfinite(r) else torch.inf for r in ratios), "", step))
        found.append(Reading("gradient.norm", length(gradients.values()), "", step))
        return found


def sample(parameter: Tensor) -> Tensor:
    """The parameter, or as a view the entries in every k-th place of its memory; k shares no factor with a row."""
    every = ceil(parameter.numel() / MAX_ENTRIES)
    if every <= 1:
        return parameter
    while gcd(every, parameter.shape[-1]) != 1:
        every += 1
    return parameter.as_strided((ceil(parameter.numel() / every),), (every,))


def norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The Euclidean norm of each tensor; half precision is summed and kept in float32."""
    if not tensors:
        return []
    half = tensors[0].element_size() < 4
    return list(torch._foreach_norm(list(tensors), 2, torch.float32 if half else None))


def values_of(gradient: Tensor) -> Tensor:
    """The entries of a gradient that may be sparse."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def length(values: Iterable[float]) -> float:
    return sqrt(sum(v * v for v in values))


@cache
def layers_of(names: tuple[str, ...]) -> dict[str, list[int]]:
    """The positions of the parameters of each layer, in order.

    >>> layers_of(("0.weight", "0.bias", "head.parametrizations.weight.original0"))
    {'0': [0, 1], 'head': [2]}
    """
    found: dict[str, list[int]] = {}
    for k, name in enumerate(names):
        layer = name.split(".parametrizations.")[0] if ".parametrizations." in name else name.rpartition(".")[0]
        found.setdefault(layer or name, []).append(k)
    return found

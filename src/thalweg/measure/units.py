"""Units that start equal and stay equal (L08), found from gradients."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.readings import Reading

EQUAL = 1e-4  # relative difference of two gradients that counts as none: float32 sums in another order differ by 1e-6
NOTHING = 1e-6  # of the whole gradient's norm: below it a gradient is rounding noise around zero


def unit_weights(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Place and parameter name of the weights whose first dimension counts units."""
    for place, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            yield place, f"{place}.weight" if place else "weight"
        elif isinstance(module, nn.RNNBase):
            yield place, f"{place}.weight_ih_l0" if place else "weight_ih_l0"


def labels_of(rows: Tensor) -> Tensor:
    """A number per row, the same for rows that are equal to the last bit."""
    _, labels = torch.unique(rows.flatten(1), dim=0, return_inverse=True)
    return torch.as_tensor(labels)


def agree(rows: Tensor, labels: Tensor, nothing: float) -> bool:
    """Whether rows of the same label have the same gradient, or none at all."""
    first = torch.zeros(int(labels.max()) + 1, dtype=torch.long, device=rows.device)
    order = torch.arange(len(labels) - 1, -1, -1, device=rows.device)
    first[labels[order]] = order  # the first row of each label is written last
    flat = rows.flatten(1).double()
    difference = (flat - flat[first[labels]]).norm(dim=1).max()
    return bool(difference <= max(EQUAL * float(flat.norm(dim=1).max()), nothing))


def symmetric_units(
    network: nn.Module, weights: dict[str, Tensor], gradients: Sequence[dict[str, Tensor | None]]
) -> list[Reading]:
    """Layers whose units have equal incoming weights at the start and equal gradients on every batch after it.

    A last layer of zeros passes, because each class gets a gradient of its own; so does a constant layer whose units
    are read by different weights.

    Readings: `units.distinct` at the layer's place, with the number of different units as value and of all units as
    `count`; and `units.total`, over all layers.

    Args:
        network: the network; its structure is read, not its weights.
        weights: the weights at the start, by name.
        gradients: per batch the gradients by name, taken while the weights moved.
    """
    readings: list[Reading] = []
    names: dict[str, Any] = dict(network.named_parameters())
    for place, name in unit_weights(network):
        found = [g[name] for g in gradients if g.get(name) is not None]
        if name not in names or len(found) < len(gradients) or len(weights[name]) < 2:
            continue
        count = len(weights[name])
        labels = labels_of(weights[name])
        distinct = int(labels.max()) + 1
        if distinct < count:
            noise = [NOTHING * whole_norm(g) for g in gradients]
            equal = all(agree(g, labels, n) for g, n in zip(found, noise, strict=True) if g is not None)
            distinct = distinct if equal else count
        readings.append(Reading("units.distinct", distinct, place=place, count=count))
    return readings


def whole_norm(gradients: dict[str, Tensor | None]) -> float:
    """The norm of the gradient of all parameters."""
    norms = [g.double().norm() for g in gradients.values() if g is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0

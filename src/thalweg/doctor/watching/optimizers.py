"""Optimizers of torch's as the parts of this house, for experiments that train by them."""

from dataclasses import fields
from typing import Any

import torch

from thalweg.parts import optimizers
from thalweg.parts.optimizers import Optimizer


def part_of(optimizer: torch.optim.Optimizer) -> Optimizer | None:
    """The part of the same name with the options of the first group; None where there is none.

    >>> part_of(torch.optim.SGD([torch.zeros(1)], lr=0.5, momentum=0.9))
    SGD(lr=0.5, weight_decay=0, momentum=0.9, dampening=0, nesterov=False)
    """
    kind: Any = getattr(optimizers, type(optimizer).__name__, None)
    if kind is None or not type(optimizer).__module__.startswith("torch.optim"):
        return None
    options = optimizer.param_groups[0]
    taken = {field.name: options[field.name] for field in fields(kind) if field.init and field.name in options}
    taken["lr"] = float(options["lr"])
    try:
        part = kind(**taken)
    except (TypeError, ValueError):
        return None
    return part if isinstance(part, Optimizer) else None

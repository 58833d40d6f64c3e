"""Outputs and losses of a network on held-out rows: in evaluation mode, without gradients, nothing left changed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs, call
from thalweg.train.losses import LossFunction


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module gets its own mode back, frozen norms included."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():  # not inference_mode: a module may cache what it computes here and train on it later
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def join(parts: list[Any]) -> Any:
    """Outputs of batches as one: tensors are concatenated, tuples and dicts item by item."""
    if isinstance(parts[0], Tensor):
        return torch.cat(parts) if len(parts) > 1 else parts[0]
    if isinstance(parts[0], dict):
        return {name: join([part[name] for part in parts]) for name in parts[0]}
    return tuple(join(list(items)) for items in zip(*parts, strict=True))


def outputs_and_loss(
    network: nn.Module, loss: LossFunction, batches: Iterable[tuple[Inputs, Tensor]]
) -> tuple[Any, Tensor, Tensor]:
    """The network's outputs, the targets, and the mean loss per sample (a scalar on the device).

    The mean weighs each batch by its samples, so that a short last batch does not count more.
    """
    outputs, targets, losses = [], [], []
    with evaluating(network):
        for inputs, target in batches:
            output = call(network, inputs)
            outputs.append(output)
            targets.append(target)
            losses.append(loss(output, target).detach().float() * len(target))
        target = torch.cat(targets)
        return join(outputs), target, torch.stack([value.reshape(()) for value in losses]).sum() / len(target)

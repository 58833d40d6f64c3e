"""Copies of a network, so that the user's own module is never trained and probes never touch a run."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from thalweg.errors import ModelError


def clone(network: nn.Module) -> nn.Module:
    """An independent copy: parameters, buffers, tied weights, hooks, mode.

    Raises:
        ModelError: for a module that cannot be copied, with the reason.

    >>> a = nn.Linear(2, 2)
    >>> b = clone(a)
    >>> b.weight is a.weight, bool((b.weight == a.weight).all())
    (False, True)
    """
    try:
        return copy.deepcopy(network)
    except Exception as error:
        raise ModelError(
            f"{type(network).__name__} cannot be copied ({type(error).__name__}: {error}). thalweg trains a copy and "
            "leaves yours as it is: pass a function that builds the model, or make the module work with copy.deepcopy "
            "(tensors with a history kept as attributes are the usual obstacle; detach them)."
        ) from error


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name, each tied tensor once, buffers that `state_dict` leaves out included."""
    return {
        **{name: value.detach() for name, value in network.named_parameters()},
        **{name: value.detach() for name, value in network.named_buffers()},
    }


def set_tensors(network: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Copies values, named as in `tensors`, into the network's parameters and buffers."""
    own = tensors(network)
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)

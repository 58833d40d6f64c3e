"""Layer-sequential unit variance: each layer divided by the measured deviation of its outputs (L11)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.noise import seed_torch
from thalweg.data.rows import Inputs, call, num_rows
from thalweg.initialization.result import Row
from thalweg.initialization.tensors import put, spread
from thalweg.initialization.users import User
from thalweg.measure.calls import first_tensor
from thalweg.measure.untouched import untouched
from thalweg.parts.initializers import LSUV


class Reached(Exception):  # noqa: N818  (no error: the pass need not go on)
    """The layer has run."""


def unit_variance(network: nn.Module, inputs: Inputs, users: Sequence[User], rows: list[Row], lsuv: LSUV) -> list[Row]:
    """Scales the layers one after the other, in the order in which they run; returns the rows with what was done.

    Source: Mishkin, Matas 2016, algorithm 1. The start is orthogonal and has been drawn.
    """
    modules = dict(network.named_modules())
    done = {row.name: row for row in rows}
    with untouched(network, training=num_rows(inputs) > 1), torch.no_grad():
        for user in users:
            row = done.get(user.name)  # of a shared tensor only its first user has one
            if row is None or not row.changed or user.weight.inside or user.follower is None:
                continue
            around = modules[user.place.rpartition(".")[0]]  # attention calls its last projection as a function
            seen = around if isinstance(around, nn.MultiheadAttention) else user.module
            variance = scale(network, inputs, seen, user, lsuv)
            word = f"output variance {variance:.3g}"
            drawn = spread(getattr(user.module, user.weight.name))
            done[user.name] = replace(
                row, gain=None, wanted=None, drawn=drawn, done=f"{row.done}; scaled on data, {word}"
            )
    return [done[row.name] for row in rows]


def scale(network: nn.Module, inputs: Inputs, seen: nn.Module, user: User, lsuv: LSUV) -> float:
    """Divides one weight until its outputs have variance 1; returns the variance reached."""
    variance = output_variance(network, inputs, seen)
    for _ in range(lsuv.max_iterations):
        if not 0 < variance < float("inf") or abs(variance - 1) <= lsuv.tolerance:
            break
        weight: Tensor = getattr(user.module, user.weight.name)
        put(user.module, user.weight.name, weight / variance**0.5)
        variance = output_variance(network, inputs, seen)
    return variance


def output_variance(network: nn.Module, inputs: Inputs, module: nn.Module) -> float:
    """Variance of what the module gives at its first call, over all its entries."""
    found: list[float] = []

    def look(_module: nn.Module, _given: Any, output: object) -> None:
        value = first_tensor(output)
        assert value is not None
        found.append(float(value.double().var(correction=0)))
        raise Reached

    handle = module.register_forward_hook(look)
    seed_torch(0)  # the same dropout each time; `untouched` brings the generator back
    try:
        call(network, inputs)
    except Reached:
        pass
    finally:
        handle.remove()
    return found[0]

"""Layer-sequential unit variance: each layer divided by the measured deviation of its outputs (L11)."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
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
    """The last layer has run."""


def unit_variance(network: nn.Module, inputs: Inputs, users: Sequence[User], rows: list[Row], lsuv: LSUV) -> list[Row]:
    """Scales the layers one after the other, in the order in which they run; returns the rows with what was done.

    One forward pass does it: a layer that has run is scaled, runs again on what it was given, and the pass goes on with
    what it gives then. A pass for each layer, as the source has it, gives the same weights in time quadratic in depth.

    Source: Mishkin, Matas 2016, algorithm 1. The start is orthogonal and has been drawn.
    """
    modules = dict(network.named_modules())
    done = {row.name: row for row in rows}
    waiting: dict[nn.Module, list[User]] = {}
    for user in users:
        row = done.get(user.name)  # of a shared tensor only its first user has one
        if row is None or not row.changed or user.weight.inside or user.follower is None:
            continue
        around = modules[user.place.rpartition(".")[0]]  # attention calls its last projection as a function
        seen = around if isinstance(around, nn.MultiheadAttention) else user.module
        waiting.setdefault(seen, []).append(user)
    pending = set(waiting)

    def scale_all(layer: nn.Module, again: Callable[[], Any], output: Any) -> Any:
        for user in waiting[layer]:
            variance, output = scale(user, output, again, lsuv)
            drawn = spread(getattr(user.module, user.weight.name))
            text = f"{done[user.name].done}; scaled on data, output variance {variance:.3g}"
            done[user.name] = replace(done[user.name], gain=None, wanted=None, drawn=drawn, done=text)
        pending.discard(layer)
        if not pending:
            raise Reached
        return output

    with untouched(network, training=num_rows(inputs) > 1), torch.no_grad(), ExitStack() as hooks, suppress(Reached):
        for layer in waiting:
            hooks.enter_context(FirstCall(layer, partial(scale_all, layer)))
        seed_torch(0)  # `untouched` brings the generator back
        if waiting:
            call(network, inputs)
    return [done[row.name] for row in rows]


class FirstCall:
    """Inside, a layer's first call gives what `change` makes of it: `change(again, output)`, where `again` repeats it.

    A repeated call has the noise of the first.
    """

    def __init__(self, layer: nn.Module, change: Callable[[Callable[[], Any], Any], Any]) -> None:
        self.layer, self.change = layer, change
        self.called = False
        self.noise: list[Tensor] = []

    def __enter__(self) -> None:
        before = self.layer.register_forward_pre_hook(self.remember, prepend=True)
        after = self.layer.register_forward_hook(self.act, with_kwargs=True)
        self.handles = before, after

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def remember(self, _layer: nn.Module, _given: Any) -> None:
        if not self.called:
            self.noise = generator_states()

    def act(self, layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        if self.called:
            return None
        self.called = True

        def again() -> Any:
            set_generators(self.noise)
            return layer(*given, **named)

        return self.change(again, output)


def scale(user: User, output: Any, again: Callable[[], Any], lsuv: LSUV) -> tuple[float, Any]:
    """Divides one weight until the layer's outputs have variance 1; returns the variance reached and the outputs."""
    variance = variance_of(output)
    for _ in range(lsuv.max_iterations):
        if not 0 < variance < float("inf") or abs(variance - 1) <= lsuv.tolerance:
            break
        weight: Tensor = getattr(user.module, user.weight.name)
        put(user.module, user.weight.name, weight / variance**0.5)
        output = again()
        variance = variance_of(output)
    return variance, output


def variance_of(output: Any) -> float:
    """Over all entries of what a layer gives."""
    value = first_tensor(output)
    assert value is not None
    return float(value.double().var(correction=0))


def generator_states() -> list[Tensor]:
    """Of torch's generators: of the CPU, and of GPUs where they are in use."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return [torch.get_rng_state(), *gpus]


def set_generators(states: Sequence[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state_all(states[1:])

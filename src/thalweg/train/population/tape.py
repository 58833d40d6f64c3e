"""A tape of a network's forward pass: its calls of torch's functions, as a flat program that can be run again.

The user's own `forward` runs once, on one member's tensors. Python's control flow, loops over blocks, dictionaries and
tied weights are over by then: what is left is a list of calls whose arguments are parameters, buffers, inputs, results
of earlier calls, or constants. A tape is of one batch shape and of one mode (training or evaluation).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


class NotBatched(Exception):  # noqa: N818 - an answer, not an error: the next candidate is tried
    """Why a network cannot be run for all members at once."""


@dataclass(frozen=True)
class Slot:
    """The place of a tensor among the values of a tape."""

    number: int


@dataclass(frozen=True)
class Call:
    """One call.

    Args:
        function: of torch's; where the recorded one wrote in place, the one that does not.
        args, kwargs: with slots in place of tensors.
        result: with slots in place of tensors.
        gradient: whether it was recorded outside of `torch.no_grad`.
        layer: number of the first draw of noise that it makes; None for what draws none.
        target: slot that it writes to in place; None for a pure call.
        aliased: whether another tensor that is used later shares the target's memory, so that the write must be one.
        keeps: whether it changes buffers by itself, as batch norm does in training.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    gradient: bool = True
    layer: int | None = None
    target: int | None = None
    aliased: bool = False
    keeps: bool = False

    @property
    def name(self) -> str:
        return name_of(self.function)

    @property
    def reads(self) -> list[int]:
        return [slot.number for slot in slots_in((self.args, self.kwargs))]

    @property
    def makes(self) -> list[int]:
        return [slot.number for slot in slots_in(self.result)]


@dataclass(frozen=True)
class Tape:
    """A forward pass.

    Args:
        calls: in their order.
        parameters, buffers: slot of each name.
        inputs: slots of the inputs' tensors, in order.
        constants: values of slots that depend on neither.
        shapes: of the recorded value in each slot.
        output: what the network returned, with slots in place of tensors.
        updates: slot of the tensor that the forward pass put in the place of a buffer, by the buffer's name.
        draws: how many draws of noise it makes.
        rounding: relative, of the coarsest floating-point type that it computes in.
    """

    calls: tuple[Call, ...]
    parameters: dict[str, int]
    buffers: dict[str, int]
    inputs: tuple[int, ...]
    constants: dict[int, Tensor]
    shapes: dict[int, torch.Size]
    output: Any
    updates: dict[str, int]
    draws: int = 0
    rounding: float = 0.0


def name_of(function: Any) -> str:
    """The name of a function; of a property's getter that of the property.

    >>> name_of(torch.relu), name_of(Tensor.mT.__get__), name_of(torch.nn.functional.max_pool2d)
    ('relu', 'mT', 'max_pool2d')
    """
    name = getattr(function, "__name__", "")
    if name == "__get__":
        return str(getattr(getattr(function, "__self__", None), "__name__", ""))
    if name == "fn":  # of torch's boolean_dispatch: the pooling functions
        return next((key for key, value in vars(torch.nn.functional).items() if value is function), name)
    return str(name)


def map_slots(function: Callable[[int], Any], value: Any) -> Any:
    """`function` on the number of each slot in a nesting of tuples, lists, dicts and slices."""
    if isinstance(value, Slot):
        return function(value.number)
    if isinstance(value, tuple):
        items = [map_slots(function, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [map_slots(function, item) for item in value]
    if isinstance(value, dict):
        return {key: map_slots(function, item) for key, item in value.items()}
    return value


def slots_in(value: Any) -> Iterator[Slot]:
    if isinstance(value, Slot):
        yield value
    elif isinstance(value, tuple | list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from slots_in(item)


def pruned(tape: Tape, memory: dict[int, int]) -> Tape:
    """The tape without calls that nothing depends on; of each write in place, whether other tensors see it later.

    Args:
        tape: as it was recorded.
        memory: of each slot, the address of the memory that it lies in.
    """
    live = {slot.number for slot in slots_in(tape.output)} | set(tape.updates.values())
    kept_for_good = set(tape.buffers.values())
    kept: list[Call] = []
    for call in reversed(tape.calls):
        if (target := call.target) is not None:
            shared = {n for n in live | kept_for_good if memory[n] == memory[target]}
            if not shared:
                continue
            call = replace(call, aliased=bool(shared - {target}) or target in kept_for_good)
            if call.aliased and memory[target] in {memory[number] for number in tape.inputs}:
                raise NotBatched(f"it writes to its inputs ({call.name})")
            live.add(target)
        elif call.keeps or not live.isdisjoint(call.makes):
            live.difference_update(call.makes)
        else:
            continue
        live.update(call.reads)
        kept.append(call)
    return replace(tape, calls=tuple(reversed(kept)))


def folded(tape: Tape, memory: dict[int, int], values: dict[int, Tensor]) -> Tape:
    """The tape without calls that depend on neither members nor inputs: their results are constants.

    Args:
        tape: pruned.
        memory: of each slot, the address of the memory that it lies in.
        values: of each slot, what was recorded.
    """
    written = {memory[call.target] for call in tape.calls if call.target is not None}
    known = set(tape.constants)
    left = []
    for call in tape.calls:
        pure = call.target is None and not call.keeps and call.layer is None
        if pure and known.issuperset(call.reads) and not any(memory[n] in written for n in call.makes):
            known.update(call.makes)
        else:
            left.append(call)
    used = {n for call in left for n in call.reads} | {slot.number for slot in slots_in((tape.output,))}
    used |= set(tape.updates.values())
    constants = {n: values[n].detach() for n in sorted(known & used)}
    return replace(tape, calls=tuple(left), constants=constants)

"""A tape run for all members at once."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from thalweg.train.population.each import Each, Run, Value, in_turn, one_by_one, spread
from thalweg.train.population.rules import rule_of
from thalweg.train.population.tape import Call, NotBatched, Slot, Tape, map_slots


class Step:
    """A call of a tape with the rule that runs it for all members."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.function, self.args, self.kwargs = call.function, call.args, call.kwargs
        self.plain = not any(isinstance(arg, tuple | list | dict) for arg in call.args)  # only its own slots to fill
        self.reads = tuple(call.reads)
        self.rule = rule_of(call.function)
        self.sets = call.function is Tensor.__setitem__
        self.fallback: Callable[..., Any] = settled(self)
        self.first = True  # of the calls in a row that set elements of one tensor: the one that copies it

    def __call__(self, values: list[Any], run: Run) -> Any:
        if self.plain:
            args: Any = [values[arg.number] if isinstance(arg, Slot) else arg for arg in self.args]
        else:
            args = map_slots(values.__getitem__, self.args)
        kwargs = map_slots(values.__getitem__, self.kwargs) if self.kwargs else self.kwargs
        layer = self.call.layer
        if layer is None:
            for number in self.reads:
                if isinstance(values[number], Each):
                    break
            else:
                return self.function(*args, **kwargs)
        if self.rule is not None:
            found = self.rule(run if layer is None else Run(run.members, run.noise, layer), *args, **kwargs)
            if found is not NotImplemented:
                return found
        if layer is not None:
            raise NotBatched(f"{self.call.name} draws noise in a form that has no rule")
        return self.fallback(self.function, args, kwargs)


def settled(step: Step) -> Callable[..., Any]:
    """What the first call of a function without a rule does: it finds whether torch's vmap knows the function.

    Where it does not, vmap would do one member after the other by itself, with a warning; we do it without.
    """

    def first(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = one_by_one(function, args, kwargs)
            step.fallback = one_by_one
        except Exception:
            found = in_turn(function, args, kwargs)
            step.fallback = in_turn
        return found

    return first


class Program:
    """A tape as steps.

    Args:
        tape: of one member's forward pass.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.steps = [Step(call) for call in tape.calls]
        self.size = 1 + max((*tape.shapes, 0))
        owned: set[int] = set()
        for step in self.steps:
            target = step.call.target
            if target is not None and step.sets:
                step.first = target not in owned
                owned.add(target)
            else:
                owned.difference_update(step.call.makes)

    def __call__(self, roots: dict[int, Value], members: int, noise: Any) -> list[Any]:
        """The value in each slot, by those of parameters, buffers and inputs."""
        values: list[Any] = [None] * self.size
        for number, constant in self.tape.constants.items():
            values[number] = constant
        for number, value in roots.items():
            values[number] = value
        run = Run(members, noise)
        for step in self.steps:
            if step.call.gradient:
                perform(step, values, run)
            else:
                with torch.no_grad():
                    perform(step, values, run)
        return values


def perform(step: Step, values: list[Any], run: Run) -> None:
    """One call, its result in its slots."""
    call = step.call
    if call.target is None:
        bind(call.result, step(values, run), values)
    elif step.sets:
        prepare(step, values, run.members)
        step(values, run)
    else:
        write(call, step(values, run), values)


def bind(result: Any, found: Any, values: list[Any]) -> None:
    """Puts what a call returned into its slots."""
    if isinstance(result, Slot):
        values[result.number] = found
    elif isinstance(result, tuple | list):
        for part, value in zip(result, found, strict=True):
            bind(part, value, values)
    elif isinstance(result, dict):
        for key, part in result.items():
            bind(part, found[key], values)


def write(call: Call, found: Value, values: list[Any]) -> None:
    """A result that was written in place: as a new value, or into the memory that others see."""
    assert call.target is not None
    before = values[call.target]
    dtype = before.tensor.dtype if isinstance(before, Each) else before.dtype
    if isinstance(found, Each):
        found = Each(found.tensor.to(dtype))
    else:
        found = found.to(dtype)
    if not call.aliased:
        values[call.target] = found
    elif isinstance(before, Each):
        before.tensor.copy_(spread(found, len(before.tensor)))
    elif isinstance(found, Each):
        raise NotBatched(f"{call.name} writes a value of each member into a tensor that all share")
    else:
        before.copy_(found)


def prepare(step: Step, values: list[Any], members: int) -> None:
    """Makes the tensor that elements are set in one that may be written to, with a copy for each member if need be."""
    call = step.call
    assert call.target is not None
    before = values[call.target]
    differs = any(isinstance(values[n], Each) for n in step.reads)
    if differs and not isinstance(before, Each):
        if call.aliased:
            raise NotBatched("elements that differ by member are set in a tensor that all share and that others see")
        values[call.target] = Each(spread(before, members).clone())
    elif step.first and not call.aliased:
        values[call.target] = Each(before.tensor.clone()) if isinstance(before, Each) else before.clone()


def update(buffers: Iterable[tuple[Tensor, Value]]) -> None:
    """Writes the tensors that the forward pass put in the place of buffers into these."""
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value.tensor if isinstance(value, Each) else value)

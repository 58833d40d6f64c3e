"""Recording of a network's forward pass as a tape."""

import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Batch, Inputs, call, map_inputs, tensors_of
from thalweg.errors import ThalwegError
from thalweg.train.clone import clone
from thalweg.train.population.recorder import Recorder, address
from thalweg.train.population.tape import NotBatched, Tape, folded, pruned


def outside_generators() -> tuple[Any, ...]:
    """The state of Python's and NumPy's generators."""
    numpy: Any = np.random.get_state()
    return random.getstate(), numpy[1].tobytes(), numpy[2]


def record(network: nn.Module, inputs: Inputs, *, training: bool) -> Tape:
    """The tape of one forward pass. The network, the inputs and the random generators stay as they are.

    Args:
        network: any module.
        inputs: one batch, as `data.rows.call` takes it.
        training: whether in training mode.

    Raises:
        NotBatched: where no tape can hold it, with the reason.

    >>> tape = record(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.zeros(4, 2), training=True)
    >>> [call.name for call in tape.calls], tape.parameters
    (['linear', 'relu'], {'0.weight': 0, '0.bias': 1})
    """
    try:
        return recorded(network, inputs, training)
    except NotBatched as refusal:
        try:
            with said_to_compile():
                return recorded(network, inputs, training)
        except NotBatched:
            raise refusal from None


def recorded(network: nn.Module, inputs: Inputs, training: bool) -> Tape:
    """The tape of a pass that is like the one before it: what a network keeps between passes is no part of a tape."""
    if isinstance(inputs, Batch) and (kinds := {type(leaf).__name__ for leaf in others_in(inputs.value)}):
        raise NotBatched(f"its batches hold values that are no tensors ({', '.join(sorted(kinds))})")
    try:
        twin = clone(network).train(training)
    except ThalwegError as error:
        raise NotBatched(str(error)) from error
    for parameter in twin.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    with torch.enable_grad(), global_rng_kept():
        before = one_pass(twin, inputs)
        for _ in range(2):  # the first may fill a cache that the second finds
            tape = one_pass(twin, inputs)
            if alike(before, tape):
                return tape
            before = tape
    raise NotBatched("its forward pass depends on what it kept from the one before")


def others_in(value: Any) -> list[Any]:
    """What is no tensor in a nesting of dicts, tuples and lists."""
    if isinstance(value, Mapping | tuple | list):
        return [leaf for item in (value.values() if isinstance(value, Mapping) else value) for leaf in others_in(item)]
    return [] if value is None or isinstance(value, Tensor) else [value]


def one_pass(twin: nn.Module, inputs: Inputs) -> Tape:
    own = map_inputs(followed, inputs)  # with a gradient, so that what no call made is noticed
    recorder = Recorder(dict(twin.named_parameters()), dict(twin.named_buffers()), tensors_of(own))
    before = outside_generators()
    output = forward(recorder, twin, own)
    if outside_generators() != before:
        raise NotBatched("it draws random numbers outside of torch")
    return finished(recorder, twin, output)


def alike(one: Tape, other: Tape) -> bool:
    """Whether two tapes make the same calls with the same numbers and constants."""
    if one.calls != other.calls or one.updates != other.updates or one.constants.keys() != other.constants.keys():
        return False
    pairs = [(value, other.constants[number]) for number, value in one.constants.items()]
    return all(a is b or same(a, b) for a, b in pairs)


def same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and torch.allclose(a, b, 0, 0, equal_nan=True)


@contextmanager
def said_to_compile() -> Iterator[None]:
    """Within it `torch.compiler.is_compiling()`: libraries then leave out shortcuts that read values, as of masks."""
    before = torch.compiler._is_compiling_flag
    torch.compiler._is_compiling_flag = True
    try:
        yield
    finally:
        torch.compiler._is_compiling_flag = before


def followed(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_().clone() if x.is_floating_point() else x.clone()


def forward(recorder: Recorder, twin: nn.Module, inputs: Inputs) -> Any:
    try:
        with recorder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the run itself gives them
            output = call(twin, inputs)
    except NotBatched:
        raise
    except Exception as error:
        reason = recorder.reason or NotBatched(f"its forward pass fails: {type(error).__name__}: {error}")
        raise reason from error
    if recorder.reason is not None:
        raise recorder.reason
    return output


def finished(recorder: Recorder, twin: nn.Module, output: Any) -> Tape:
    """The tape, without what nothing depends on."""
    leaves, structure = tree_flatten(output)
    for leaf in leaves:
        if not isinstance(leaf, Tensor | int | float | str | bool | None):
            raise NotBatched(f"it returns a {type(leaf).__name__}, in which no tensors can be found")
    slots = [recorder.template(leaf) for leaf in leaves]
    now = dict(twin.named_buffers())
    if now.keys() != recorder.buffers.keys() or dict(twin.named_parameters()).keys() != recorder.parameters.keys():
        raise NotBatched("its forward pass adds or removes parameters or buffers")
    moved = {
        name: recorder.given(value) for name, value in now.items() if recorder.add(value) != recorder.buffers[name]
    }
    values = recorder.values
    memory = {number: address(value) or -number for number, value in values.items()}
    tape = Tape(
        calls=tuple(recorder.calls),
        parameters=recorder.parameters,
        buffers=recorder.buffers,
        inputs=recorder.inputs,
        constants={number: values[number] for number in recorder.constants},
        shapes={number: value.shape for number, value in values.items()},
        output=tree_unflatten(slots, structure),
        updates=moved,
        draws=recorder.draws,
    )
    short = folded(pruned(tape, memory), memory, values)
    made = [values[number] for step in short.calls for number in step.makes]
    return replace(short, rounding=max((torch.finfo(v.dtype).eps for v in made if v.is_floating_point()), default=0.0))

"""The forward pass of a population: K networks of one architecture as one program."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from thalweg.data.rows import Inputs, tensors_of
from thalweg.train.population.each import Each, Noise, Value, spread
from thalweg.train.population.recording import record
from thalweg.train.population.replay import Program, update
from thalweg.train.population.tape import NotBatched, Slot


class Forward:
    """K networks as one, on batches of one shape and in one mode. Made by `batched`.

    Args:
        program: the recorded forward pass.
        names: of the inputs that it was recorded on, where they are a dictionary.
    """

    def __init__(self, program: Program, names: tuple[str, ...]) -> None:
        self.program = program
        self.names = names
        self.draws = program.tape.draws  # of noise, by a forward pass

    def __call__(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        inputs: Inputs,
        noise: Noise | None = None,
        *,
        own: bool = False,
    ) -> Any:
        """What the K networks return.

        Args:
            parameters: `[K, *shape]` by name, as `network.named_parameters()` has them, tied ones once. One of the
                network's own shape is shared by all members, and what depends on nothing else is computed once.
            buffers: `[K, *shape]` by name; those that the network updates are updated in place.
            inputs: one batch for all, as `data.rows.call` takes it; with `own` each tensor is `[K, B, ...]`.
            noise: draws the members' dropout; None leaves dropout out.
            own: whether each member has a batch of its own.

        Returns:
            What the network returns, with tensors `[K, ...]` in place of its own.
        """
        tape = self.program.tape
        values: dict[int, Value] = {}
        for slots, given in ((tape.parameters, parameters), (tape.buffers, buffers)):
            for name, number in slots.items():
                values[number] = rooted(given[name], tape.shapes[number], name)
        tensors = [inputs[name] for name in self.names] if isinstance(inputs, dict) else tensors_of(inputs)
        for number, tensor in zip(tape.inputs, tensors, strict=True):
            value: Value = Each(tensor) if own else tensor
            if value.shape != tape.shapes[number]:
                raise ValueError(
                    f"This population was recorded on inputs {list(tape.shapes[number])} and got {list(value.shape)}; "
                    "record another for batches of this shape."
                )
            values[number] = value
        members = next((len(v.tensor) for v in values.values() if isinstance(v, Each)), 1)
        found = self.program(values, members, noise)
        update((buffers[name], found[number]) for name, number in tape.updates.items())
        return tree_map(
            lambda leaf: spread(found[leaf.number], members) if isinstance(leaf, Slot) else leaf,
            tape.output,
        )


def rooted(tensor: Tensor, shape: torch.Size, name: str) -> Value:
    """A parameter or buffer of each member, or of all, as its rank says."""
    if tensor.dim() == len(shape):
        return tensor
    if tensor.shape[1:] != shape:
        raise ValueError(f"{name} is {list(tensor.shape)}; give [K, {', '.join(map(str, shape))}].")
    return Each(tensor)


def batched(network: nn.Module, inputs: Inputs, *, training: bool) -> Forward:
    """The forward pass of K networks like this one, as one program.

    The network runs once and what it calls is recorded; each call then is made for all members at once: a linear layer
    as one batched product, a convolution as one of K groups, whatever has no rule by `torch.func.vmap`. Models that
    use torch's functions in any order work; what reads a tensor's values in Python does not. Numbers of Python's, as
    an attribute that a schedule changes from outside, are those of the recording.

    Args:
        network: any module; it stays as it is.
        inputs: a batch as `data.rows.call` takes it; later ones have the same shapes.
        training: whether in training mode.

    Raises:
        NotBatched: with the reason.

    >>> network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    >>> x = torch.randn(5, 2)
    >>> forward = batched(network, x, training=True)
    >>> parameters = {name: torch.randn(4, *p.shape) for name, p in network.named_parameters()}
    >>> outputs = forward(parameters, {}, x)
    >>> third = torch.func.functional_call(network, {name: p[2] for name, p in parameters.items()}, (x,))
    >>> outputs.shape, bool((outputs[2] - third).abs().max() < 1e-6)
    (torch.Size([4, 5, 1]), True)
    """
    names = tuple(inputs) if isinstance(inputs, dict) else ()
    forward = Forward(Program(record(network, inputs, training=training)), names)
    trial(forward, network, inputs)
    return forward


def trial(forward: Any, network: nn.Module, inputs: Inputs) -> None:
    """Runs two members once. Raises `NotBatched` where that cannot be done."""
    try:
        with torch.no_grad():
            forward(*stacked(network, 2), inputs)
    except NotBatched:
        raise
    except Exception as error:
        raise NotBatched(f"{type(error).__name__}: {error}") from error


def stacked(network: nn.Module, members: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters and buffers of so many copies, `[K, *shape]` by name."""
    parameters, buffers = network.named_parameters(), network.named_buffers()
    return tuple({name: torch.stack([t.detach()] * members) for name, t in part} for part in (parameters, buffers))  # type: ignore[return-value]

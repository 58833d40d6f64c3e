"""Whether a population computes what its members compute by themselves."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Inputs, call, map_inputs, tensors_of
from thalweg.train.clone import clone, set_tensors
from thalweg.train.population.calls import Calls
from thalweg.train.population.forward import Forward, batched, stacked
from thalweg.train.population.recorder import DROPOUTS, RECURRENT
from thalweg.train.population.vmapped import Vmapped

TOLERANCE = 1e-12  # relative to the largest number of a tensor, or 1
FINEST = 2.0**-52  # the rounding of float64
COARSEST = 1e-2  # beyond it nothing agrees
Maker = Callable[..., Forward | Vmapped]


class Undropped(Calls):
    """Within it nothing is dropped, whatever a network asks for."""

    def take(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if function in DROPOUTS:
            return args[0] if args else kwargs["input"]
        if function is Tensor.bernoulli_:
            return args[0].fill_(1)
        if function is F.scaled_dot_product_attention:
            args, kwargs = args[:4], {**dict(zip(SCALED[4:], args[4:], strict=False)), **kwargs, "dropout_p": 0.0}
        if function in RECURRENT and not isinstance(args[3], list | tuple):
            args = (*args[:5], 0.0, *args[6:])
        return function(*args, **kwargs)


SCALED = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")


def disagreement(
    network: nn.Module, inputs: Inputs, *, training: bool, make: Maker = batched, own: bool = False, members: int = 3
) -> float:
    """The largest difference between a population and its members by themselves, in float64 and without dropout.

    Members get weights and buffers of their own; outputs, gradients of all parameters and buffers after the call are
    compared, each relative to the largest number of its tensor, or 1. The network stays as it is.

    Args:
        network: any module.
        inputs: a batch.
        training: whether in training mode.
        make: `batched` or `vmapped`.
        own: whether each member gets a batch of its own (the rows in another order).
        members: K.

    Raises:
        NotBatched: from `make`.
    """
    twin, exact = in_float64(network, inputs, training=training)
    forward = make(twin, exact, training=training)
    parameters, buffers = members_of(twin, members)
    batches = [exact] + [map_inputs(lambda x, k=k: x.roll(k, 0) if x.dim() else x, exact) for k in range(1, members)]  # type: ignore[misc]
    singles = [
        alone(twin, {name: t[k].clone() for name, t in {**parameters, **buffers}.items()}, batches[k] if own else exact)
        for k in range(members)
    ]
    together = iter([torch.stack(parts) for parts in zip(*map(tensors_of, batches), strict=True)])
    given = map_inputs(lambda _: next(together), exact) if own else exact
    for value in parameters.values():
        value.requires_grad_(value.is_floating_point())
    with torch.enable_grad(), global_rng_kept():
        output = forward(parameters, buffers, given, own=own)
        gradients = gradients_of(output, list(parameters.values()), members)
    worst = 0.0
    for k, single in enumerate(singles):
        mine = [t[k] for t in (*tensors(output), *gradients, *buffers.values())]
        if len(mine) != len(single):
            return float("inf")
        worst = max([worst, *(gap(a, b) for a, b in zip(mine, single, strict=True))])
    return worst


def agrees(
    network: nn.Module,
    inputs: Inputs,
    *,
    training: bool,
    make: Maker = batched,
    own: bool = False,
    tolerance: float = TOLERANCE,
) -> bool:
    """Whether a population computes what its members do by themselves, up to rounding.

    The tolerance grows where it must: with the coarsest type that the network computes in by itself, and with how far a
    rounding of its weights moves a single network, as a batch norm over two rows may by orders of magnitude.

    >>> agrees(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), torch.randn(8, 4), training=True)
    True

    Raises:
        NotBatched: from `make`.
    """
    twin, exact = in_float64(network, inputs, training=training)
    rounding = max((torch.finfo(p.dtype).eps for p in twin.parameters() if p.is_floating_point()), default=FINEST)
    if make is batched:
        rounding = max(rounding, batched(twin, exact, training=training).program.tape.rounding)
    found = disagreement(network, inputs, training=training, make=make, own=own)
    if found <= min(tolerance * rounding / FINEST, COARSEST):
        return True
    return found <= min(10 * sensitivity(twin, exact, by=rounding), COARSEST)


def in_float64(network: nn.Module, inputs: Inputs, *, training: bool) -> tuple[nn.Module, Inputs]:
    """A copy of the network and the inputs in float64; as they are where its own code wants another type."""
    twin = clone(network).double().train(training)
    exact = map_inputs(lambda x: x.double() if x.is_floating_point() else x, inputs)
    try:
        alone(twin, {}, exact)
    except Exception:
        return clone(network).train(training), inputs
    return twin, exact


def members_of(twin: nn.Module, members: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters and buffers of members that differ, `[K, *shape]` by name."""
    parameters, buffers = stacked(twin, members)
    return (
        {name: varied(value, seed, offset=0.05) for seed, (name, value) in enumerate(parameters.items())},
        {name: varied(value, seed) for seed, (name, value) in enumerate(buffers.items())},
    )


def sensitivity(twin: nn.Module, inputs: Inputs, *, by: float) -> float:
    """How far outputs, gradients and buffers of a network move with a relative change of its weights."""
    parameters, buffers = ({name: t[0] for name, t in part.items()} for part in members_of(twin, 1))
    before = alone(twin, {**parameters, **buffers}, inputs)
    draw = torch.Generator().manual_seed(0)
    moved = {
        name: t * (1 + by * torch.randn(t.shape, generator=draw, dtype=torch.float64)).to(t)
        for name, t in parameters.items()
    }
    return max(map(gap, alone(twin, {**moved, **buffers}, inputs), before), default=0.0)


def varied(value: Tensor, seed: int, *, offset: float = 0.0) -> Tensor:
    """`[K, *shape]` with noise of each member; without an offset signs, zeros and infinities of masks stay."""
    if not value.is_floating_point():
        return value.clone()
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, *value.shape, generator=draw, dtype=torch.float64).to(value)
    return value * (0.2 * noise[0]).exp() + offset * noise[1]


def alone(twin: nn.Module, values: dict[str, Tensor], inputs: Inputs) -> list[Tensor]:
    """Outputs, gradients and buffers of an ordinary network with these tensors."""
    single = clone(twin)
    set_tensors(single, values)
    parameters = list(single.parameters())
    for parameter in parameters:
        parameter.requires_grad_(parameter.is_floating_point())
    with torch.enable_grad(), global_rng_kept(), Undropped():
        output = call(single, map_inputs(lambda x: x.clone(), inputs))
    gradients = gradients_of(output, parameters)
    return [*tensors(output), *gradients, *(buffer.detach() for _, buffer in single.named_buffers())]


def tensors(output: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]


def gradients_of(output: Any, parameters: Sequence[Tensor], members: int | None = None) -> list[Tensor]:
    """Gradients of a random combination of all outputs, the same one for each member."""
    total: Any = 0.0
    for seed, leaf in enumerate(tensors(output)):
        if leaf.requires_grad:
            shape = leaf.shape if members is None else leaf.shape[1:]
            draw = torch.Generator().manual_seed(seed)
            weights = torch.randn(shape, generator=draw, dtype=torch.float64).to(leaf)
            total = total + (weights * leaf.where(leaf.isfinite(), 0)).sum()
    if not isinstance(total, Tensor):
        return []
    found = torch.autograd.grad(total, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def gap(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest number, or 1."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return float("inf")
    one, other = one.detach().double(), other.detach().double()
    if not one.numel():
        return 0.0
    same = (one == other) | (one.isnan() & other.isnan())
    scale = other.abs().where(other.isfinite(), 0).max().clamp_min(1)
    found = ((one - other) / scale).abs().where(~same, 0).max()
    return float("inf") if found.isnan() else float(found)

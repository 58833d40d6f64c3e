"""The forward pass of a population by `torch.func.vmap`: for networks that no tape can hold."""

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten

from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Inputs, call, map_inputs, tensors_of
from thalweg.errors import ThalwegError
from thalweg.train.clone import clone
from thalweg.train.population.calls import Calls
from thalweg.train.population.each import Noise
from thalweg.train.population.forward import trial
from thalweg.train.population.recorder import DROPOUTS, argument, draws_of
from thalweg.train.population.tape import NotBatched, name_of

KINDS = {
    "dropout": "elements",
    "dropout1d": "channels",
    "dropout2d": "channels",
    "dropout3d": "channels",
    "feature_dropout": "channels",
}
ATTENTION = frozenset((F.scaled_dot_product_attention,))  # vmap knows its plain form only
Draw = tuple[torch.Size, torch.dtype, float, str]  # shape, type, p, kind


class Draws(Calls):
    """Multiplies by the given masks where a dropout is called, or notes the masks that would be needed.

    Args:
        masks: of each draw; None to note them, and drop nothing.
    """

    def __init__(self, masks: list[Tensor] | None) -> None:
        super().__init__()
        self.masks, self.found, self.count = masks, list[Draw](), 0

    def take(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not draws_of(function, args, kwargs):
            with sdpa_kernel(SDPBackend.MATH) if function in ATTENTION else nullcontext():
                return function(*args, **kwargs)
        name = name_of(function)
        if function not in DROPOUTS or name not in KINDS:
            raise NotBatched(f"{name} draws noise within torch.func.vmap")
        x = args[0] if args else kwargs["input"]
        self.count += 1
        if self.masks is not None:
            return x * self.masks[self.count - 1] if self.masks else x
        kind = KINDS[name]
        shape = x.shape if kind == "elements" else torch.Size((*x.shape[:2], *[1] * (x.dim() - 2)))
        p = argument(function, "p", args, kwargs) if hasattr(function, "__code__") else args[1]
        self.found.append((shape, x.dtype, p, kind))
        return x


class Vmapped:
    """K networks as one, on batches of one shape and in one mode, with the interface of `Forward`.

    Args:
        network: of which all are copies.
        draws: of noise, in the order of its forward pass.
        ranks: dimensions of each parameter and buffer by name.
    """

    def __init__(self, network: nn.Module, draws: list[Draw], ranks: list[dict[str, int]]) -> None:
        self.network, self.found, self.ranks = network, draws, ranks
        self.draws = len(draws)

    def __call__(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        inputs: Inputs,
        noise: Noise | None = None,
        *,
        own: bool = False,
    ) -> Any:
        """As `Forward`."""
        given = tuple(
            {name: part[name] for name in ranks} for part, ranks in zip((parameters, buffers), self.ranks, strict=True)
        )
        axes = tuple(
            {name: 0 if part[name].dim() > rank else None for name, rank in ranks.items()}
            for part, ranks in zip(given, self.ranks, strict=True)
        )
        members = next(len(part[n]) for part, dims in zip(given, axes, strict=True) for n in part if dims[n] == 0)
        masks = []
        for layer, (shape, dtype, p, kind) in enumerate(self.found if noise is not None else []):
            assert noise is not None
            ones = torch.ones(1, dtype=dtype, device=next(iter(parameters.values())).device)
            masks.append(noise.dropout(ones.expand(members, *shape), p, layer=layer, kind=kind))
        kept: list[Any] = []

        def single(parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Any, masks: list[Tensor]) -> Any:
            with Draws(masks):
                output = call(Functional(self.network, {**parameters, **buffers}), rebuilt(inputs))
            leaves, structure = tree_flatten(output)
            kept[:] = [structure, leaves]
            return [leaf for leaf in leaves if isinstance(leaf, Tensor)]

        def rebuilt(tensors: list[Tensor]) -> Inputs:
            left = iter(tensors)
            return map_inputs(lambda _: next(left), inputs)

        tensors = list(tensors_of(inputs))
        mapped: Any = torch.func.vmap(single, in_dims=(*axes, 0 if own else None, 0))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")  # what forms are fast is measured
            found = iter(mapped(*given, tensors, masks))
        structure, leaves = kept
        return tree_unflatten([next(found) if isinstance(leaf, Tensor) else leaf for leaf in leaves], structure)


class Functional(nn.Module):
    """A network with other tensors in the place of its own.

    Args:
        network: any module.
        tensors: by name.
    """

    def __init__(self, network: nn.Module, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.network, self.tensors = network, tensors
        self.training = network.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return torch.func.functional_call(self.network, self.tensors, args, kwargs)


def vmapped(network: nn.Module, inputs: Inputs, *, training: bool) -> Vmapped:
    """The forward pass of K networks like this one by `torch.func.vmap`: slower than `batched`, for other networks.

    Args:
        network: any module; it stays as it is.
        inputs: a batch as `data.rows.call` takes it.
        training: whether in training mode.

    Raises:
        NotBatched: with the reason.

    >>> network = nn.Linear(2, 3)
    >>> forward = vmapped(network, torch.zeros(5, 2), training=True)
    >>> forward({"weight": torch.ones(4, 3, 2), "bias": torch.ones(4, 3)}, {}, torch.ones(5, 2)).shape
    torch.Size([4, 5, 3])
    """
    try:
        twin = clone(network).train(training)
    except ThalwegError as error:
        raise NotBatched(str(error)) from error
    ranks = [{name: t.dim() for name, t in part} for part in (twin.named_parameters(), twin.named_buffers())]
    draws = Draws(None)
    with torch.no_grad(), global_rng_kept(), draws:
        before = torch.get_rng_state()
        call(twin, map_inputs(lambda x: x.clone(), inputs))
        if not torch.equal(before, torch.get_rng_state()):
            raise NotBatched("it draws random numbers that are no dropout")
    forward = Vmapped(clone(network).train(training), draws.found, ranks)
    trial(forward, network, inputs)
    return forward

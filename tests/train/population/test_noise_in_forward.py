"""Dropout of a population: which draws a forward pass asks for, and what it does with them."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from thalweg.parts.regularizers.drop_connect import DropConnect
from thalweg.parts.regularizers.stochastic_depth import StochasticDepth
from thalweg.train.population.forward import Forward, batched, stacked
from thalweg.train.population.tape import NotBatched
from thalweg.train.population.vmapped import Vmapped, vmapped

EXACT = 1e-12
K = 3


def x(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def factors(shape: Sequence[int], p: float, layer: int) -> Tensor:
    """`[K, *shape]` of a draw."""
    kept = torch.rand((K, *shape), generator=torch.Generator().manual_seed(layer), dtype=torch.float64) >= p
    return kept / (1 - p)


class Masks:
    """Noise that writes down what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str, float, tuple[int, ...]]] = []

    def dropout(self, x: Tensor, p: float, *, layer: int, kind: str = "elements") -> Tensor:
        assert len(x) == K
        self.asked.append((layer, kind, p, tuple(x.shape[1:])))
        shape = x.shape[1:] if kind == "elements" else (*x.shape[1:3], *[1] * (x.dim() - 3))
        return x * factors(shape, p, layer)

    def bernoulli(self, shape: torch.Size, keep: float, *, layer: int, dtype: torch.dtype) -> Tensor:
        self.asked.append((layer, "bernoulli", keep, tuple(shape)))
        return factors(shape, 1 - keep, layer).ne(0).to(dtype)


class Single(TorchFunctionMode):
    """One ordinary network with a member's masks, in the order of the calls."""

    def __init__(self, member: int) -> None:
        super().__init__()
        self.member, self.layer = member, 0

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        drops = {F.dropout: False, F.dropout1d: True, F.dropout2d: True, F.dropout3d: True}
        if function in drops and kwargs.get("training", (*args, True, True, True)[2] if len(args) > 2 else True):
            given = args[0]
            p = args[1] if len(args) > 1 else kwargs["p"]
            shape = (*given.shape[:2], *[1] * (given.dim() - 2)) if drops[function] else given.shape
            self.layer += 1
            return given * factors(shape, p, self.layer - 1)[self.member]
        if function is Tensor.bernoulli_:
            self.layer += 1
            return args[0].copy_(factors(args[0].shape, 1 - args[1], self.layer - 1)[self.member].ne(0))
        return function(*args, **kwargs)


def members_of(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    parameters, buffers = stacked(network, K)
    generator = torch.Generator().manual_seed(0)
    noisy = {n: p + torch.randn(p.shape, generator=generator, dtype=p.dtype) / 4 for n, p in parameters.items()}
    return noisy, buffers


def assert_alike(
    make: Callable[..., Forward | Vmapped], network: nn.Module, inputs: Tensor, reference: nn.Module | None = None
) -> Masks:
    """Members equal separate networks with the same masks; `reference` is the same function written otherwise."""
    network = network.double().train()
    reference = network if reference is None else reference.double().train()
    parameters, buffers = members_of(network)
    noise = Masks()
    found = make(network, inputs, training=True)(parameters, buffers, inputs, noise)
    for member in range(K):
        own = {name: value[member] for name, value in {**parameters, **buffers}.items()}
        with Single(member):
            expected = torch.func.functional_call(reference, own, (inputs,))
        torch.testing.assert_close(found[member], expected, rtol=0, atol=EXACT)
    return noise


class DropPath(nn.Module):
    """As in timm."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if self.drop_prob == 0.0 or not self.training:
            return x
        keep = 1 - self.drop_prob
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        mask.div_(keep)
        return x * mask


class Residual(nn.Module):
    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


DROPPING: dict[str, tuple[nn.Module, Tensor]] = {
    "of inputs": (
        nn.Sequential(nn.Dropout(0.2), nn.Linear(4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Linear(3, 2)),
        x(6, 4),
    ),
    "in place": (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5, inplace=True), nn.Linear(3, 2)), x(6, 4)),
    "of channels": (nn.Sequential(nn.Conv2d(2, 4, 3), nn.Dropout2d(0.5), nn.Conv2d(4, 2, 2)), x(6, 2, 5, 5)),
    "of channels, 1d": (nn.Sequential(nn.Conv1d(2, 4, 3), nn.Dropout1d(0.5)), x(6, 2, 5)),
    "of channels, 3d": (nn.Sequential(nn.Conv3d(2, 4, 2), nn.Dropout3d(0.5)), x(2, 2, 3, 3, 3)),
    "of branches": (
        nn.Sequential(Residual(nn.Sequential(nn.Linear(4, 4), StochasticDepth(0.5))), nn.Linear(4, 2)),
        x(6, 4),
    ),
}
TAPED: dict[str, tuple[nn.Module, Tensor]] = {
    "of branches, as in timm": (Residual(nn.Sequential(nn.Linear(4, 4), DropPath(0.5))), x(6, 4)),
    "of weights": (nn.Sequential(nn.Linear(4, 3), DropConnect(nn.Linear(3, 5), 0.5)), x(6, 4)),
    "of weights, by row": (DropConnect(nn.Linear(4, 5), 0.5, mode="row"), x(6, 4)),
}


@pytest.mark.parametrize("name", [*DROPPING, *TAPED])
def test_members_equal_single_networks_with_the_same_masks(name: str) -> None:
    noise = assert_alike(batched, *{**DROPPING, **TAPED}[name])
    assert [layer for layer, *_ in noise.asked] == list(range(len(noise.asked)))
    assert noise.asked


@pytest.mark.parametrize("name", DROPPING)
def test_vmap_asks_for_the_same_draws(name: str) -> None:
    network, inputs = DROPPING[name]
    assert [a[:3] for a in assert_alike(vmapped, network, inputs).asked] == [
        a[:3] for a in assert_alike(batched, network, inputs).asked
    ]


class Attending(nn.Module):
    """Causal attention, or the same written out."""

    def __init__(self, *, written_out: bool) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.4, batch_first=True)
        self.written_out = written_out

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        if not self.written_out:
            return self.attention(h, x, x, attn_mask=mask, need_weights=False)[0]  # type: ignore[no-any-return]
        weights, biases = (
            getattr(self.attention, f"in_proj_{name}").unflatten(0, (3, -1)).unbind(0) for name in ("weight", "bias")
        )
        heads = [
            F.linear(given, w, b).unflatten(-1, (2, 4)).transpose(1, 2)
            for given, w, b in zip((h, x, x), weights, biases, strict=True)
        ]
        scores = (heads[0] @ heads[1].mT / 2).masked_fill(mask, -torch.inf).softmax(-1)
        return self.attention.out_proj((F.dropout(scores, 0.4) @ heads[2]).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def test_dropout_within_attention() -> None:
    noise = assert_alike(batched, Attending(written_out=False), x(3, 4, 8), Attending(written_out=True))
    assert noise.asked == [(0, "elements", 0.4, (3, 2, 4, 4))]


class Layered(nn.Module):
    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], *, apart: bool) -> None:
        super().__init__()
        self.whole = kind(3, 4, 3, dropout=0.4, batch_first=True, bidirectional=True)
        self.apart = apart

    def forward(self, x: Tensor) -> Tensor:
        if not self.apart:
            return self.whole(x)[0]  # type: ignore[no-any-return]
        x = x.transpose(0, 1)  # draws are counted with the times first, as torch's layers have them inside
        for layer in range(3):
            one = type(self.whole)(x.shape[-1], 4, bidirectional=True).double()
            names = [name for name, _ in self.whole.named_parameters() if f"_l{layer}" in name]
            own = {name.replace(f"_l{layer}", "_l0"): getattr(self.whole, name) for name in names}
            x = torch.func.functional_call(one, own, (F.dropout(x, 0.4) if layer else x,))[0]
        return x.transpose(0, 1)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_dropout_between_recurrent_layers(kind: type[nn.LSTM] | type[nn.GRU]) -> None:
    noise = assert_alike(batched, Layered(kind, apart=False), x(5, 6, 3), Layered(kind, apart=True))
    assert noise.asked == [(0, "elements", 0.4, (6, 5, 8)), (1, "elements", 0.4, (6, 5, 8))]


def test_a_rate_of_zero_is_a_draw_too() -> None:
    """A member's own rate takes its place; and what is read beside the dropout is not dropped."""

    class Off(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = self.layer(x)
            return F.dropout(h, 0.0, self.training) + h

    class Half(Masks):
        def dropout(self, x: Tensor, p: float, *, layer: int, kind: str = "elements") -> Tensor:
            return super().dropout(x, 0.5, layer=layer, kind=kind)

    network, inputs, noise = Off().double(), x(6, 4), Half()
    parameters, _ = members_of(network)
    found = batched(network, inputs, training=True)(parameters, {}, inputs, noise)
    for k in range(K):
        h = F.linear(inputs, parameters["layer.weight"][k], parameters["layer.bias"][k])
        torch.testing.assert_close(found[k], h * factors((6, 4), 0.5, 0)[k] + h, rtol=0, atol=EXACT)
    assert len(noise.asked) == 1


def test_nothing_is_drawn_in_evaluation_or_without_noise() -> None:
    for make in (batched, vmapped):
        network, inputs = DROPPING["of inputs"][0].double(), x(6, 4)
        parameters, buffers = members_of(network)
        noise = Masks()
        evaluated = make(network, inputs, training=False)(parameters, buffers, inputs, noise)
        plain = make(network, inputs, training=True)(parameters, buffers, inputs)
        torch.testing.assert_close(evaluated, plain, rtol=0, atol=EXACT)
        assert not noise.asked


def test_kinds_that_keep_the_variance_of_selu() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.AlphaDropout(0.1), nn.FeatureAlphaDropout(0.2)).double()
    inputs, noise = x(4, 2, 3, 3), Masks()
    forward = batched(network, inputs, training=True)
    forward(*members_of(network), inputs, noise)
    shape = (4, 3, 3, 3)
    assert noise.asked == [(0, "alpha", 0.1, shape), (1, "alpha channels", 0.2, shape)]
    assert forward.draws == 2
    with pytest.raises(NotBatched, match="alpha_dropout draws noise"):
        vmapped(network, inputs, training=True)


def test_the_global_generators_stay_as_they_are() -> None:
    network, inputs = DROPPING["of inputs"]
    before = torch.get_rng_state()
    assert_alike(batched, network, inputs)
    assert_alike(vmapped, network, inputs)
    assert torch.equal(before, torch.get_rng_state())

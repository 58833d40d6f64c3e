"""Folded networks against the unfolded ones in evaluation mode, and what must not be folded."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

import thalweg as tw
from thalweg.fold import fold_batch_norm


def warmed(network: nn.Module, x: Tensor) -> nn.Module:
    """In float64, with estimates and weights that are not 0 and 1."""
    network = network.double()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
                module.weight.uniform_(-1, 2)
                module.bias.uniform_(-1, 1)
        for _ in range(3):
            network(x + torch.randn_like(x))
    return network


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm1 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.two, self.norm2 = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.BatchNorm2d(4, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.two(F.relu(self.norm1(self.one(x)), inplace=True))))


class ReadTwice(nn.Module):
    """The first layer's output is normalized and used as it is; of the second, the norm has a rival in a view."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm1 = nn.Linear(6, 5), nn.BatchNorm1d(5)
        self.two, self.norm2 = nn.Linear(5, 5), nn.BatchNorm1d(5)
        self.three, self.norm3 = nn.Linear(5, 5), nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.one(x)
        h = self.norm1(h) + h
        g = self.two(h)
        rival = g.view(-1)
        return self.norm3(self.three(self.norm2(g))) + rival.view(-1, 5)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({"a": nn.Linear(6, 7), "b": nn.Linear(7, 3)})
        self.norms = nn.ModuleList([nn.BatchNorm1d(3), nn.BatchNorm1d(7)])

    def forward(self, x: Tensor) -> Tensor:
        return self.norms[0](self.layers["b"](torch.tanh(self.norms[1](self.layers["a"](x)))))


def images() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=4, padding_mode="circular", padding=1),
        nn.BatchNorm2d(8, eps=1e-2), nn.Dropout(0.5), nn.ConvTranspose2d(8, 6, 3, groups=2, stride=2, output_padding=1),
        nn.BatchNorm2d(6), nn.ConvTranspose2d(6, 6, 2, bias=False, groups=6), nn.BatchNorm2d(6), nn.Flatten(),
        nn.LazyLinear(5), nn.BatchNorm1d(5, affine=False),
    )  # fmt: skip


CASES: list[tuple[Any, tuple[int, ...], list[tuple[str, str]]]] = [
    (images, (4, 3, 8, 8), [("0", "1"), ("3", "4"), ("6", "7"), ("8", "9"), ("11", "12")]),
    (lambda: nn.Sequential(Residual(), Residual()), (3, 4, 6, 6),
     [("0.one", "0.norm1"), ("0.two", "0.norm2"), ("1.one", "1.norm1"), ("1.two", "1.norm2")]),
    (ReadTwice, (6, 6), [("three", "norm3")]),
    (Functional, (6, 6), [("layers.b", "norms.0"), ("layers.a", "norms.1")]),
    (lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ConvTranspose1d(4, 6, 3, groups=2),
     nn.BatchNorm1d(6)), (3, 2, 9), [("0", "1"), ("2", "3")]),
    (lambda: nn.Sequential(nn.Conv3d(2, 4, 2), nn.BatchNorm3d(4), nn.ConvTranspose3d(4, 4, 2, groups=4),
     nn.BatchNorm3d(4)), (3, 2, 4, 4, 4), [("0", "1"), ("2", "3")]),
    (lambda: nn.Sequential(nn.Linear(6, 4), tw.normalization.GhostBatchNorm(size=4).build(4, dims=0)), (9, 6),
     [("0", "1")]),
]  # fmt: skip


@pytest.mark.parametrize(("make", "shape", "pairs"), CASES)
def test_the_function_is_the_same(make: Any, shape: tuple[int, ...], pairs: list[tuple[str, str]]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    built = make().double()
    built(x)
    network = warmed(built, x)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    folded = fold_batch_norm(network, x[:2])
    assert torch.equal(state, torch.get_rng_state())
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert sorted(folded.pairs) == sorted(pairs)
    for _, norm in pairs:
        assert isinstance(folded.network.get_submodule(norm), nn.Identity)
    for seed in range(3):
        x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2
        torch.testing.assert_close(folded.network(x), network.eval()(x), rtol=1e-12, atol=1e-12)
    single = fold_batch_norm(network.float(), x[:2].float()).network
    expected = network(x.float())
    assert float((single(x.float()) - expected).detach().abs().max() / expected.detach().abs().max()) < 1e-6


def test_frozen_weights_and_indices_are_no_obstacle() -> None:
    network = nn.Sequential(nn.Embedding(9, 6), nn.Flatten(), nn.Linear(18, 4), nn.BatchNorm1d(4))
    network.requires_grad_(False)
    assert fold_batch_norm(network, torch.tensor([[1, 2, 3], [4, 5, 6]])).pairs == [("2", "3")]


class Elsewhere(nn.Module):
    """The layer's weight is used by hand too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x)) @ self.layer.weight


class Returned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.layer(x)
        return self.norm(h), h


class Again(nn.Module):
    def __init__(self, shared: str) -> None:
        super().__init__()
        self.layer, self.norm, self.shared = nn.Linear(4, 4), nn.BatchNorm1d(4), shared

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.layer(x))
        return self.layer(h) if self.shared == "layer" else self.norm(h.relu())


def tied() -> nn.Module:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    network[2].weight = network[0].weight
    return network


class Scaled(nn.Linear):
    """As some libraries' convolutions that standardize their weight."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return super().forward(input) * 2


class Activated(nn.BatchNorm1d):
    """As some libraries' batch norm with its activation inside."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return super().forward(input).relu()


def hooked() -> nn.Module:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    network[0].register_forward_hook(lambda _module, _given, output: output * 2)
    return network


class Centered(nn.Module):
    """The norm's estimate is read by hand too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x)) + self.norm.running_mean


@pytest.mark.parametrize(
    ("make", "shape", "reason"),
    [
        (lambda: nn.Sequential(Scaled(4, 4), nn.BatchNorm1d(4)), (3, 4), "a forward of its own"),
        (lambda: nn.Sequential(nn.Linear(4, 4), Activated(4)), (3, 4), "a forward of its own"),
        (hooked, (3, 4), "hooks"),
        (Centered, (3, 4), "used elsewhere too"),
        (Elsewhere, (3, 4), "used elsewhere too"),
        (Returned, (3, 4), "something else reads the output"),
        (lambda: Again("layer"), (3, 4), "runs more than once"),
        (lambda: Again("norm"), (3, 4), "runs more than once"),
        (tied, (3, 4), "used elsewhere too"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4)), (3, 4), "not as a linear or"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(5)), (3, 5, 4), "another dimension"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)), (3, 4), "no running"),
        (lambda: nn.Sequential(weight_norm(nn.Linear(4, 4)), nn.BatchNorm1d(4)), (3, 4), "parametrized"),
        (lambda: nn.Sequential(nn.Identity(), nn.ModuleDict({"x": nn.BatchNorm1d(4)})["x"]), (3, 4), "not as a linear"),
    ],
)
def test_what_is_left(make: Any, shape: tuple[int, ...], reason: str) -> None:
    torch.manual_seed(0)
    network, x = make(), torch.randn(shape)
    folded = fold_batch_norm(network, x)
    assert folded.pairs == []
    assert reason in str(folded)
    found, expected = folded.network(x), network.eval()(x)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_a_norm_that_does_not_run() -> None:
    network = nn.Module()
    network.layer, network.norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
    network.forward = network.layer.forward  # type: ignore[method-assign]
    assert fold_batch_norm(network, torch.zeros(2, 2)).left == {"norm": "it did not run"}


def test_it_is_public() -> None:
    assert tw.fold_batch_norm is fold_batch_norm

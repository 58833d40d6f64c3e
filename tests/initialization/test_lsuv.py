"""One pass that scales the layers as they run gives the weights of one pass for each layer, as the source has it."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.parts.initializers import LSUV


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True)
        self.last = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.block(self.first(x)).mean(1))


class Shared(nn.Module):
    """A layer that runs twice, and a weight of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(self.a(x).relu()).relu()).relu())


def deep() -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(6):
        layers += [nn.Linear(32, 32), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Linear(32, 5))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 10),
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "deep": (deep, (64, 32)),
    "convolutional": (convolutional, (64, 1, 28, 28)),
    "attention": (Attention, (32, 6, 8)),
    "shared": (Shared, (64, 8)),
}


def in_order(network: nn.Module, x: Tensor, places: list[str]) -> list[tuple[str, nn.Module]]:
    """The layers in the order in which they first run, each with the module that shows what it gives."""
    modules, run = dict(network.named_modules()), []
    measured = {}
    for place in places:
        around = modules[place.rpartition(".")[0]]  # attention calls its last projection as a function
        measured[place] = around if isinstance(around, nn.MultiheadAttention) else modules[place]
    handles = [m.register_forward_hook(lambda *_, place=place: run.append(place)) for place, m in measured.items()]
    network(x)
    for handle in handles:
        handle.remove()
    return [(place, measured[place]) for place in dict.fromkeys(run)]


def layer_by_layer(network: nn.Module, x: Tensor, places: list[str], part: LSUV) -> None:
    """Algorithm 1 of the source: for each layer forward passes from the input, until its outputs have variance 1."""
    network.train()
    for place, measured in in_order(network, x, places):
        seen: list[float] = []

        def look(_module: nn.Module, _x: object, out: Tensor | tuple[Tensor, ...], seen: list[float] = seen) -> None:
            first = out[0] if isinstance(out, tuple) else out
            seen.append(float(first.double().var(correction=0)))

        handle = measured.register_forward_hook(look)
        for _ in range(part.max_iterations + 1):
            seen.clear()
            torch.manual_seed(0)
            with torch.no_grad():
                network(x)
                if abs(seen[0] - 1) <= part.tolerance:
                    break
                weight = network.get_parameter(f"{place}.weight")
                weight.copy_(weight / seen[0] ** 0.5)
        handle.remove()


@pytest.mark.parametrize("name", NETWORKS)
def test_one_pass_is_one_pass_for_each_layer(name: str):
    build, shape = NETWORKS[name]
    torch.manual_seed(1)
    network, x = build(), torch.randn(shape)
    part = LSUV()
    expected = copy.deepcopy(network)
    found = tw.initialize(network, x, part, seed=3)
    scaled = [row.name.removesuffix(".weight") for row in found.rows if "scaled on data" in row.done]
    assert len(scaled) >= 2
    # The start: the same draw, without the scaling.
    tw.initialize(expected, x, LSUV(tolerance=1e9), seed=3)
    layer_by_layer(expected, x, scaled, part)
    for (key, value), other in zip(network.state_dict().items(), expected.state_dict().values(), strict=True):
        assert torch.equal(value, other), key


def test_each_layer_runs_a_few_times_however_deep_the_network():
    calls: dict[int, int] = {}
    network = deep()
    for i, module in enumerate(network):
        module.register_forward_hook(lambda *_, i=i: calls.__setitem__(i, calls.get(i, 0) + 1))
    tw.initialize(network, torch.randn(64, 32), LSUV(), seed=0)
    assert max(calls.values()) <= 12  # a pass for each layer would run the first one 14 times for the scaling alone


def test_generators_hooks_and_modes_are_left_as_found():
    network = deep().eval()
    before = torch.get_rng_state()
    tw.initialize(network, torch.randn(64, 32, generator=torch.Generator().manual_seed(0)), LSUV(), seed=0)
    assert torch.equal(before, torch.get_rng_state())
    assert not network.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())

"""Changes of networks: what is found, what is replaced, and that the network given stays as it is."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.fix.networks import (
    WithActivation,
    WithLast,
    WithOutputs,
    between_layers,
    registered,
    unfrozen,
    with_batch_norm,
    without_last,
)
from thalweg.measure.head import head_of
from thalweg.probes.swapped import Apply


class Functions(nn.Module):
    """Activations written as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(self.last(torch.sigmoid(self.second(F.relu(self.first(x))))), 1)


class Exponential(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


def sequential(*between: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), *between, nn.Linear(8, 3))


def unchanged(network: nn.Module, change: object, sample: Tensor) -> nn.Module | None:
    """The changed network, having seen that the one given gives the same outputs as before."""
    before = copy.deepcopy(network)
    found = change(network, sample)  # type: ignore[operator]
    assert torch.equal(before.eval()(sample), network.eval()(sample))
    assert str(before) == str(network)
    return found


def test_an_activation_of_the_users_own_is_found_and_replaced():
    x = torch.randn(5, 4)
    network = sequential(Exponential(), nn.Dropout(0.5))
    assert [c.place for c in between_layers(network, x)] == ["1"]
    changed = unchanged(network, WithActivation(torch.relu), x)
    assert changed is not None
    wanted = network[3](torch.relu(network[0](x)))
    assert torch.equal(changed.eval()(x), wanted)


@pytest.mark.parametrize(
    "module",
    [nn.Softmax(1), nn.LayerNorm(8), nn.Dropout(0.5), nn.Identity(), nn.BatchNorm1d(8), nn.Flatten()],
    ids=lambda m: type(m).__name__,
)
def test_what_is_no_function_of_each_number_is_left(module: nn.Module):
    assert between_layers(sequential(module), torch.randn(6, 4)) == []


def test_activations_written_as_functions_are_replaced_by_name():
    torch.manual_seed(0)
    network, x = Functions(), torch.randn(5, 4)
    changed = unchanged(network, WithActivation(torch.relu, frozenset({"sigmoid"})), x)
    assert changed is not None
    hidden = torch.relu(network.second(torch.relu(network.first(x))))
    assert torch.allclose(changed.eval()(x), F.softmax(network.last(hidden), 1))
    assert WithActivation(torch.relu, frozenset({"tanh"}))(network, x) is None


def test_a_head_is_no_activation_between_layers():
    network, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Sigmoid()), torch.randn(5, 4)
    changed = WithActivation(F.elu)(network, x)
    assert changed is not None
    assert isinstance(changed[1], Apply)
    assert isinstance(changed[3], nn.Sigmoid)


@pytest.mark.parametrize(
    ("network", "x", "count"),
    [
        (sequential(nn.ReLU()), torch.randn(6, 4), 1),
        (
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)),
            torch.randn(6, 1, 8, 8),
            2,
        ),
        (
            nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)),
            torch.randn(6, 2, 8),
            1,
        ),
    ],
)
def test_batch_norm_behind_every_layer_but_the_last(network: nn.Module, x: Tensor, count: int):
    changed = unchanged(network, with_batch_norm, x)
    assert changed is not None
    norms = [m for m in changed.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == count
    changed.train()(x).sum().backward()
    assert all(p.grad is not None for p in changed.parameters())
    assert with_batch_norm(changed, x) is None  # there are norms now


def test_batch_norm_is_not_put_behind_layers_of_positions():
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Flatten(), nn.Linear(24, 2))
    assert with_batch_norm(network, torch.randn(5, 3, 4)) is None


def test_the_last_operation():
    network, x = Functions(), torch.randn(5, 4)
    free = unchanged(network, without_last, x)
    assert free is not None
    assert head_of(free(x)).kind == "none"
    assert torch.allclose(F.softmax(free.eval()(x), 1), network.eval()(x))
    other = WithLast(nn.Sigmoid)(network, x)
    assert other is not None
    assert torch.allclose(other.eval()(x), torch.sigmoid(free.eval()(x)))
    assert without_last(sequential(nn.ReLU()), x) is None
    behind = WithLast(nn.Sigmoid)(sequential(nn.ReLU()), x)
    assert behind is not None
    assert head_of(behind(x)).kind == "sigmoid"


def test_frozen_weights_that_nothing_has_trained_learn():
    network = sequential(nn.ReLU())
    for p in network[0].parameters():
        p.requires_grad_(False)
    changed = unchanged(network, unfrozen, torch.randn(2, 4))
    assert changed is not None
    assert all(p.requires_grad for p in changed.parameters())
    with torch.no_grad():
        network[0].weight.mul_(3.0)  # as a training leaves them: wider than torch draws
    assert unfrozen(network, torch.randn(2, 4)) is None


def test_layers_in_a_list_are_registered():
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(4, 4), nn.Linear(4, 4)]
            self.last = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = torch.relu(layer(x))
            return self.last(x)

    network, x = Hidden(), torch.randn(3, 4)
    changed = unchanged(network, registered, x)
    assert changed is not None
    assert len(list(network.parameters())) == 2
    assert len(list(changed.parameters())) == 6
    assert torch.equal(changed(x), network(x))
    assert registered(sequential(nn.ReLU()), x) is None


def test_a_last_layer_with_other_outputs():
    x = torch.randn(5, 4)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())
    changed = unchanged(network, WithOutputs(3), x)
    assert changed is not None
    assert changed(x).shape == (5, 3)
    assert head_of(changed(x)).kind == "none"
    assert torch.equal(changed[0].weight, network[0].weight)
    convolution = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
    assert WithOutputs(3)(convolution, torch.randn(2, 1, 4, 4)) is None

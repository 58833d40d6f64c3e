import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.reach import describe_foreign, describe_reach
from thalweg.probes.first_steps import first_steps
from thalweg.train.clone import clone

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(32, 8, generator=G), torch.randint(0, 4, (32,), generator=G)


class Net(nn.Module):
    """One layer and a last one; `middle(module, x)` stands between."""

    def __init__(self, middle) -> None:
        super().__init__()
        self.body, self.spare, self.last = nn.Linear(8, 8), nn.Linear(3, 3), nn.Linear(8, 4)
        self.middle = middle

    def forward(self, x):
        return self.last(self.middle(self, self.body(x)))


def reach(network, loss=F.cross_entropy, target=Y):
    trained = clone(network)
    steps = first_steps(trained, loss, X, target)
    return {(r.name, r.place): r for r in describe_reach(trained, X, steps.gradients)}


def test_a_healthy_network_has_only_its_counts():
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    assert set(reach(network)) == {("parameter.frozen", ""), ("parameter.trainable", "")}
    (foreign,) = describe_foreign(network, X)
    assert foreign.value == 0


def test_detached_unused_and_frozen_are_told_apart():
    found = reach(Net(lambda _, x: x.detach()))
    assert found["parameter.detached", "body.weight"].value > 1e-2
    assert found["parameter.detached", "spare.weight"].value == 0
    frozen = Net(lambda _, x: x)
    frozen.body.requires_grad_(False)
    found = reach(frozen)
    assert ("parameter.detached", "body.weight") not in found
    assert found["parameter.frozen", ""].value == 72


def test_no_grad_is_a_cut_too():
    def middle(_, x):
        with torch.no_grad():
            return x * 1

    assert ("parameter.detached", "body.bias") in reach(Net(middle))


def test_a_rounded_path_is_flat_and_a_dead_unit_is_not_taken_for_it():
    assert reach(Net(lambda _, x: torch.round(3 * x)))["parameter.zero", "body.weight"].value > 1e-2
    dead = Net(lambda _, x: torch.relu(x))
    with torch.no_grad():
        dead.body.bias.fill_(-100.0)
    assert reach(dead)["parameter.zero", "body.weight"].value == 0


def test_a_flat_loss_is_not_a_flat_network():
    def flat(output, target):
        return (output.sum(1).clamp(1e6, 2e6) - target).square().mean()

    assert not [key for key in reach(Net(lambda _, x: x), loss=flat) if key[0] == "parameter.zero"]


class InList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers, self.last = [nn.Linear(8, 8)], nn.Linear(8, 4)

    def forward(self, x):
        return self.last(self.layers[0](x))


class Anew(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(8, 4)

    def forward(self, x):
        return self.last(nn.Linear(8, 8)(x))


def test_layers_that_parameters_does_not_know():
    (kept,), (anew,) = describe_foreign(InList(), X), describe_foreign(Anew(), X)
    assert (kept.value, kept.note) == (72, "kept")
    assert (anew.value, anew.note) == (72, "anew")


def test_inputs_that_require_a_gradient_are_not_foreign():
    class Penalty(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(8, 4)

        def forward(self, x):
            return self.last(x.requires_grad_())

    assert describe_foreign(Penalty(), X.clone())[0].value == 0

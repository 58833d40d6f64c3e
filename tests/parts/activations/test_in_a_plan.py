"""`Plan(activation=...)`: in a module of the user's, and given to a builder that asks for it."""

import pytest
import torch
from torch import nn

from thalweg.errors import ModelError, StoreError
from thalweg.experiment import Experiment
from thalweg.parts.activations import GELU, Activation, PReLU, ReLU
from thalweg.parts.optimizers import SGD
from thalweg.plan import Plan
from thalweg.run import Run


def experiment(model, folder):
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    return Experiment(model, train=(x, (x[:, 0] > 0).long()), loss="cross_entropy", directory=folder)


def plan(activation: Activation | None) -> Plan:
    return Plan.plain(optimizer=SGD(lr=0.1), epochs=1, batch_size=32, activation=activation)


def test_a_module_is_changed_and_opened_again(tmp_path):
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    own = experiment(network, tmp_path)
    run = own.train(plan(PReLU(shared=False)), listeners=())
    assert isinstance(run.network[1], nn.PReLU)
    assert run.network[1].weight.shape == (8,)
    assert type(network[1]) is nn.ReLU
    assert [d["reason"] for d in run.decisions if d["field"] == "activation"] == ["asked for; changed at 1"]
    again = own.open(run.name)
    x = torch.randn(5, 4)
    assert torch.equal(again.model(x), run.model(x))
    with pytest.raises(ModelError, match="no activation between its layers"):
        experiment(nn.Linear(4, 2), tmp_path).train(plan(GELU()), listeners=())


def test_a_builder_gets_it(tmp_path):
    given = []

    def build(spec, activation=ReLU()):  # noqa: B008 - a frozen value
        given.append(activation)
        return nn.Sequential(
            nn.Linear(*spec.inputs[0], 8), activation.build(), nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 2)
        )

    own = experiment(build, tmp_path)
    run = own.train(plan(GELU()), listeners=())
    assert [type(m) for m in run.network][1::2] == [nn.GELU, nn.ReLU]  # the builder's own ReLU stays
    assert "the builder got it" in next(d["reason"] for d in run.decisions if d["field"] == "activation")
    own.train(plan(None), listeners=())
    assert given == [GELU(), ReLU()]

    def fails(activation):
        return nn.Sequential(nn.Linear(4, 2), activation())

    with pytest.raises(ModelError, match=r"'GELU' object is not callable.*activation\.build\(\)"):
        experiment(fails, tmp_path).train(plan(GELU()), listeners=())


class Functional(nn.Module):
    """A builder's argument, called as a function: there is no module to change."""

    def __init__(self, activation=ReLU()):  # noqa: B008 - a frozen value
        super().__init__()
        self.a, self.b, self.call = nn.Linear(4, 8), nn.Linear(8, 2), activation.function

    def forward(self, x):
        return self.b(self.call(self.a(x)))


def deliberate(activation=ReLU()):  # noqa: B008 - a frozen value
    """One activation is the argument's, the other stays a ReLU whatever that is."""
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), activation.build(), nn.Linear(8, 2))


@pytest.mark.parametrize("build", [Functional, deliberate])
def test_what_a_builder_got_is_not_put_in_again(build, tmp_path):
    run = experiment(build, tmp_path).train(plan(GELU()), listeners=())
    opened = Run.open(run.directory, network=build(GELU()))
    x = torch.randn(5, 4)
    assert torch.equal(opened.model(x), run.model(x))


def test_another_activation_than_the_trained_is_refused(tmp_path):
    run = experiment(deliberate, tmp_path).train(plan(GELU()), listeners=())
    with pytest.raises(StoreError, match=r"has ReLU at '3', where .* was trained with GELU"):
        Run.open(run.directory, network=deliberate()).model  # noqa: B018


def test_all_changed_places_are_counted(tmp_path):
    layers = [layer for _ in range(9) for layer in (nn.Linear(4, 4), nn.ReLU())]
    run = experiment(nn.Sequential(*layers, nn.Linear(4, 2)), tmp_path).train(plan(GELU()), listeners=())
    assert "asked for; changed at 1, 3, 5, 7, 9, 3 more, 17" in [d["reason"] for d in run.decisions]

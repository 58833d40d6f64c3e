"""Changes carried out: the experiment given stays, and what comes out trains like any other."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.fix.change import Change, balanced_classes, carried_out, joined, may_balance
from thalweg.fix.networks import WithActivation, without_last

X = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
ELU = Change("elu", "ELU", network=WithActivation(F.elu), part="activation")
FREE = Change("free", "free numbers", network=without_last, part="head", loss="cross_entropy")


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), nn.Softmax(1))


def plan(**changes: object) -> tw.Plan:
    return tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), batch_size=16, epochs=1, **changes)


def experiment(directory: Path, model: object = build, **options: object) -> tw.Experiment:
    return tw.Experiment(model, train=(X, Y), test=False, loss="cross_entropy", directory=directory, **options)


@pytest.mark.parametrize("model", [build, build()], ids=["builder", "module"])
def test_the_network_is_changed_and_the_experiment_given_stays(tmp_path: Path, model: object):
    given = experiment(tmp_path, model)
    changed, asked = carried_out(given, plan(), [ELU, FREE], X[:8])
    run = changed.train(asked, listeners=())
    assert "ReLU" not in str(run.network)
    assert "Softmax" not in str(run.network)
    assert "Softmax" in str(given.train(plan(), listeners=()).network)
    assert asked == plan()


def test_a_builder_is_seeded_as_before(tmp_path: Path):
    """The changed network starts from the very weights that the plain one has under the same seed."""
    given = experiment(tmp_path)
    changed, asked = carried_out(given, plan(), [ELU], X[:8])
    for seed in (0, 1):
        mine = changed._set_up(asked.replace(seed=seed)).network
        theirs = given._set_up(asked.replace(seed=seed)).network
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


def test_a_builder_that_takes_an_activation_still_gets_it(tmp_path: Path):
    def builds(spec: object, activation: object = None) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), activation.build() if activation else nn.ReLU(), nn.Linear(8, 2))  # type: ignore[attr-defined]

    given = experiment(tmp_path, builds)
    change = Change("norm", "", network=lambda network, _: nn.Sequential(network, nn.Identity()), part="norm")
    changed, asked = carried_out(given, plan(activation=tw.activations.Tanh()), [change], X[:8])
    assert "Tanh" in str(changed._set_up(asked).network)


def test_lazy_layers_are_made_before_a_change(tmp_path: Path):
    given = experiment(tmp_path, lambda: nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(2)))
    changed, asked = carried_out(given, plan(), [ELU], X[:8])
    assert changed._set_up(asked).network[0].in_features == 4


def test_classes_that_weigh_alike(tmp_path: Path):
    """As an experiment of its own with class_weights="balanced"."""
    y = (X[:, 0] > 1).long()

    def uneven(**options: object) -> tw.Experiment:
        return tw.Experiment(build, train=(X, y), test=False, loss="cross_entropy", directory=tmp_path, **options)

    assert may_balance(uneven())
    found, _ = carried_out(uneven(), plan(), [Change("balanced", "", balanced=True)], X[:8])
    wanted = uneven(class_weights="balanced")
    assert torch.allclose(found.data.train.weights, wanted.data.train.weights)
    assert torch.allclose(found.data.validation.weights, wanted.data.validation.weights)
    mine, theirs = found.train(plan(), listeners=()), wanted.train(plan(), listeners=())
    assert mine.history["validation.loss"] == pytest.approx(theirs.history["validation.loss"], rel=1e-6)
    assert balanced_classes(uneven().data).train.weights is not None


def test_what_joins():
    rate, optimizer = Change("a", "", {"optimizer.lr": 0.1}), Change("b", "", {"optimizer": tw.optimizers.Adam(lr=1)})
    assert not rate.joins(optimizer)
    assert not optimizer.joins(rate)
    assert not rate.joins(Change("c", "", {"optimizer.lr": 0.2}))
    assert rate.joins(Change("d", "", {"optimizer.weight_decay": 0.0}))
    assert rate.joins(ELU)
    assert ELU.joins(FREE)
    assert not ELU.joins(ELU)


def test_joined_changes_are_made_in_their_order(tmp_path: Path):
    given = experiment(tmp_path)
    rate = Change("rate", "a rate", {"optimizer.lr": 0.3})
    both = joined(joined(ELU, FREE), rate)
    assert (both.name, both.loss, both.text) == ("elu+free+rate", "cross_entropy", "ELU; free numbers; a rate")
    changed, asked = carried_out(given, plan(), [both], X[:8])
    network = changed._set_up(asked).network
    assert "ReLU()" not in str(network).replace("ELU()", "")
    assert "Softmax" not in str(network)
    assert asked.optimizer.lr == 0.3
    one_by_one, _ = carried_out(given, plan(), [ELU, FREE, rate], X[:8])
    other = one_by_one._set_up(asked).network
    assert torch.equal(network.eval()(X), other.eval()(X))


def test_joined_without_anything_to_change():
    nothing = Change("nothing", "", network=lambda *_: None)
    both = joined(nothing, nothing)
    assert both.network is not None
    assert both.network(build(), X[:4]) is None

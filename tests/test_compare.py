"""`experiment.compare`: one network under several values of one field, on paired seeds."""

import json

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from thalweg.compare.arms import names_of, plans_of
from thalweg.compare.contest import FILE
from thalweg.errors import ModelError, UsageError
from thalweg.events import EpochEnded, Progress, RunEnded
from thalweg.experiment import Experiment
from thalweg.parts.activations import GELU, LeakyReLU, ReLU, Sigmoid
from thalweg.parts.optimizers import SGD, Adam, AdamW
from thalweg.plan import Plan


def build_deep() -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, 32), nn.ReLU()]
    for _ in range(5):
        layers += [nn.Linear(32, 32), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(32, 10))


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Experiment:
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16.0, dtype=torch.float32), torch.tensor(y)
    return Experiment(build_deep, train=(x, y), loss="cross_entropy", directory=tmp_path_factory.mktemp("runs"))


def quick(**changes) -> Plan:
    settings = {"optimizer": Adam(lr=3e-3), "epochs": 3, "batch_size": 64, "selection": "accuracy"} | changes
    return Plan.plain(**settings)


def test_a_real_difference_is_found(digits, capsys):
    found = digits.compare(activation=[Sigmoid(), "relu"], plan=quick(epochs=8), seeds=4)
    assert found.best.name == "ReLU"
    assert found.differences[0].verdict == "real"
    assert found.differences[0].mean > 0.3
    assert (found.measure, found.higher_is_better, found.seeds) == ("accuracy", True, (0, 1, 2, 3))
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 8
    assert told[0].startswith("1/8  Sigmoid  seed 0  accuracy 0.")
    runs = [digits.open(name) for name in found.runs["ReLU"]]
    assert [run.plan.seed for run in runs] == [0, 1, 2, 3]
    assert [run.metrics["accuracy"] for run in runs] == list(found.best.values)
    assert {run.plan.activation for run in runs} == {ReLU()}
    assert len({run.directory.parent for run in runs}) == 1
    assert json.loads((runs[0].directory.parent / FILE).read_text())["differences"][0]["verdict"] == "real"
    assert digits.data.test.count() == 0
    assert "Seeds vary initialization, order, noise and which rows validate, alike for all arms" in str(found)


def test_equals_are_not_called_different(digits):
    same = LeakyReLU(slope=1e-6)  # other numbers, the same learning
    found = digits.compare(activation=[ReLU(), same], plan=quick(epochs=2), seeds=3, listeners=())
    assert not found.differences[0].real
    copies = digits.compare(quick(epochs=1), quick(epochs=1), seeds=2, listeners=())
    assert [arm.name for arm in copies.arms] == ["plan 1", "plan 2"]
    assert copies.arms[0].values == copies.arms[1].values  # the seed decides everything
    assert copies.differences[0].verdict == "not shown"


def small(folder, model=None) -> Experiment:
    x = torch.randn(160, 4, generator=torch.Generator().manual_seed(0))
    model = model or (lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)))
    return Experiment(model, train=(x, x[:, :1].sin()), loss="mse", directory=folder)


def test_the_open_is_decided_once(tmp_path):
    heard = []
    plan = Plan(monitoring=0, compile="never", probes=False)
    found = small(tmp_path).compare(batch_size=[16, 64], plan=plan, seeds=2, listeners=(heard.append,))
    runs = {name: [small(tmp_path).open(run) for run in names] for name, names in found.runs.items()}
    assert len({run.plan.epochs for arm in runs.values() for run in arm}) == 1
    assert found.measure == "loss"
    assert not found.higher_is_better
    assert found.best.mean == min(arm.mean for arm in found.arms)
    for arm in runs.values():
        rates = {run.plan.optimizer.lr for run in arm}
        assert len(rates) == 1
        assert rates != {"auto"}
        assert f"{next(iter(rates)):.3g}" in found.notes[-2]
    assert "raced once under the first seed" in found.notes[-2]
    assert found.notes[-1].startswith("Seconds per training: ")
    assert sum(isinstance(event, RunEnded) for event in heard) == 4


def test_a_module_starts_from_its_own_weights(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    rates = {"optimizer.lr": [1e-3, 1e-2]}
    found = small(tmp_path, network).compare(rates, plan=quick(selection="loss"), seeds=2, listeners=())
    assert "seeds vary order, noise and which rows validate. A builder" in found.notes[0]
    assert {arm.name for arm in found.arms} == {"Adam(lr=0.001)", "Adam(lr=0.01)"}


def test_interrupted_it_ends_with_what_is_there(tmp_path):
    ended = 0

    def stop(event):
        nonlocal ended
        ended += isinstance(event, RunEnded)
        if ended == 3 and isinstance(event, EpochEnded | Progress):
            raise KeyboardInterrupt

    own = small(tmp_path)
    found = own.compare(activation=[None, GELU()], plan=quick(selection="loss", epochs=5), seeds=4, listeners=(stop,))
    assert [len(names) for names in found.runs.values()] == [2, 1] or sorted(map(len, found.runs.values())) == [1, 2]
    assert found.differences[0].pairs == 1
    assert found.differences[0].verdict == "not shown"
    assert any("Interrupted: 3 of 8" in note for note in found.notes)
    assert len(list((tmp_path / found.folder).glob("*/run.sqlite"))) == 4


def test_a_lost_training_has_no_value(tmp_path):
    plan = quick(selection="loss", epochs=2)
    rates = {"optimizer.lr": [1e30, 1e-2]}
    found = small(tmp_path).compare(rates, plan=plan.replace(optimizer=SGD(lr=0.1)), seeds=2, listeners=())
    assert found.best.name == "SGD(lr=0.01)"
    assert found.arms[1].values == (None, None)
    assert any("no value under seed 0: its loss was not finite" in note for note in found.notes)


def test_units_of_a_loss_are_not_compared(tmp_path):
    own = small(tmp_path)
    plan = quick(selection="loss", epochs=1)
    with pytest.raises(UsageError, match="unit of the loss"):
        own.compare(target_scaling=["none", "standardize"], plan=plan, seeds=2, listeners=())


def test_an_arm_that_cannot_be_trained_is_named(tmp_path):
    own = small(tmp_path, nn.Linear(4, 1))
    with pytest.raises(ModelError, match="no activation between its layers") as caught:
        own.compare(activation=[None, GELU()], plan=quick(selection="loss", epochs=1), seeds=2, listeners=())
    assert "arm GELU" in caught.value.__notes__[0]
    assert not list(tmp_path.glob("compare-*"))  # nothing was trained before it was known


def test_names_of_arms():
    plan = Plan(optimizer=SGD(lr=0.1, momentum=0.9))
    assert names_of(plans_of((), plan, {"batch_size": [16, 32]})) == ["16", "32"]
    assert names_of([plan, plan.replace(optimizer=AdamW())]) == ["SGD(lr=0.1, momentum=0.9)", "AdamW"]
    assert names_of([plan, plan.replace(epochs=3, clip_norm=1.0)]) == [
        "epochs=auto, clip_norm=auto",
        "epochs=3, clip_norm=1.0",
    ]
    assert names_of(plans_of((), None, {"dropout": [None, 0.1, 0.1]})) == ["none", "0.1", "0.1 (3)"]


@pytest.mark.parametrize(
    ("given", "changes", "message"),
    [
        ((), {}, r"got 0 arms; it takes two"),
        ((Plan(),), {}, r"got 1 arm; it takes two"),
        ((), {"activation": ["relu"]}, r"got 1 arm"),
        ((), {"activation": "relu"}, r"activation='relu'; give a list"),
        ((), {"activation": ["relu", "gelo"]}, r"'activation' got 'gelo'; allowed: None, ELU, GELU"),
        ((), {"batchsize": [1, 2]}, r"no field 'batchsize'.*'batch_size'"),
        ((), {"batch_size": [1, 2], "epochs": [1, 2]}, r"2 fields \(batch_size, epochs\)"),
        ((), {"seed": [1, 2]}, r"seeds=5"),
        ((Plan(), Plan()), {"epochs": [1, 2]}, r"whole plans and a field"),
        ((Plan(seed=1), Plan(seed=2)), {}, r"plans of different seeds"),
    ],
)
def test_wrong_arms_are_refused(given, changes, message):
    with pytest.raises(UsageError, match=message):
        plans_of(given, None, changes)


def test_wrong_seeds_are_refused(tmp_path):
    for seeds in (1, [0, 0], [1, "2"], [0, -1], 2.0, True, None):
        with pytest.raises(UsageError, match=r"compare got seeds="):
            small(tmp_path).compare(epochs=[1, 2], seeds=seeds)


def test_each_training_is_the_one_that_train_makes(tmp_path):
    own = small(tmp_path, lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1)))
    plan = quick(selection="loss", epochs=2)
    given = {"normalization": ["LayerNorm", None]}
    found = own.compare(given, plan=plan, seeds=[3, 7], splits=False, listeners=())
    for arm in found.arms:
        for seed, name, value in zip(found.seeds, arm.runs, arm.values, strict=True):
            part = None if arm.name == "none" else arm.name
            run = own.train(plan.replace(seed=seed, normalization=part), listeners=())
            assert run.metrics["loss"] == value
            kept, again = run.network.state_dict(), own.open(name).network.state_dict()
            assert all(torch.equal(kept[key], again[key]) for key in kept)

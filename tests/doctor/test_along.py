"""Alarms are raised while the training goes on, once, and change nothing in it."""

import torch
from torch import nn

import thalweg as tw
from thalweg.doctor.along import Along, lost_layers
from thalweg.doctor.ignore import Wishes, wishes
from thalweg.events import EpochEnded, FindingRaised, RunEnded
from thalweg.readings import Reading, Readings
from thalweg.store import Store, Writer


def dead(value, *, steps=(8, 16, 32), rows=500, place="relu"):
    return [Reading("activation.dead", value, place, step, count=rows) for step in steps]


def epoch(number):
    return EpochEnded(number, 9, 10 * number, 1.0, 1.0, "", None, 0.1, None, None, 1.0, 0.1, False)


def raised(tmp_path, readings, wished=None):
    store = Store(tmp_path / "run.sqlite", create=True)
    writer, told = Writer(store), []
    along = Along(store, writer, wished or Wishes(), [lambda event: told.append(event.finding)])
    writer.add(readings)
    for number in (1, 2, 3):
        along._next = 0.0
        along(epoch(number))
    return told


def test_a_lost_layer_is_raised_once_with_its_step(tmp_path):
    (found,) = raised(tmp_path, dead(1.0))
    assert (found.code, found.place, found.step, found.standing) == ("ACT03", "relu", 8, "proven")


def test_a_layer_that_lives_on_few_rows_or_batches_is_not(tmp_path):
    assert lost_layers(Readings(dead(0.99))) == []
    assert lost_layers(Readings(dead(1.0, rows=100))) == []
    assert lost_layers(Readings(dead(1.0, steps=(8, 16)))) == []
    assert lost_layers(Readings([*dead(1.0, rows=100), Reading("data.train_rows", 300)]))
    assert lost_layers(Readings([*dead(1.0), *dead(0.9, steps=(64,))])) == []
    assert raised(tmp_path, dead(0.5)) == []


def test_what_is_ignored_is_not_raised(tmp_path):
    assert raised(tmp_path, dead(1.0), wishes((), "ACT03@relu: known")) == []


def test_a_look_waits_until_the_last_one_is_a_small_share_of_the_time(tmp_path):
    store = Store(tmp_path / "run.sqlite", create=True)
    along = Along(store, Writer(store), Wishes(), ())
    along(epoch(1))
    waits = along._next
    assert waits > 0
    along(epoch(2))
    assert along._next == waits


def trained(runs, *, monitoring):
    """A network whose first layer dies in the first steps: a bias that gradient descent throws far below zero."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2000, 8, generator=generator)
    target = x.sum(1, keepdim=True)

    def build():
        network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        nn.init.constant_(network[0].bias, -50.0)
        return network

    heard = []
    experiment = tw.Experiment(build, train=(x, target), loss="mse", directory=runs, seed=0)
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.01), epochs=40, batch_size=400, probes=False, seed=0).replace(
        monitoring=monitoring
    )
    run = experiment.train(plan, listeners=(heard.append,))
    return run, heard


def test_it_is_heard_before_the_end_and_the_weights_are_the_same(runs, monkeypatch):
    monkeypatch.setattr("thalweg.doctor.along.SHARE", 1.0)
    run, heard = trained(runs, monitoring=0.9)
    raised = [k for k, event in enumerate(heard) if isinstance(event, FindingRaised)]
    ended = next(k for k, event in enumerate(heard) if isinstance(event, RunEnded))
    epochs = [k for k, event in enumerate(heard) if isinstance(event, EpochEnded)]
    assert raised[0] < epochs[-1] < ended
    assert heard[raised[0]].finding.code == "ACT03"
    places = [(heard[k].finding.code, heard[k].finding.place) for k in raised]
    assert len(places) == len(set(places))
    assert heard[ended].diagnosis.findings == tuple(run.findings)
    other, _ = trained(runs, monitoring=0.0)
    for name, value in run.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name])

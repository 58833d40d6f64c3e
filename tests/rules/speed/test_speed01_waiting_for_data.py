import time

import torch
from torch import nn
from torch.utils.data import Dataset

import thalweg as tw
from thalweg.probes.budget import Budget
from thalweg.probes.speed import waiting
from thalweg.readings import Reading, Readings
from thalweg.rules.speed.speed01_waiting_for_data import judge


def timed(wait, step, whole=100.0):
    return Readings(
        [
            Reading("speed.wait", wait, count=5, note="0 workers"),
            Reading("speed.step", step, count=5),
            Reading("speed.whole", whole),
        ]
    )


BROKEN = timed(0.03, 0.01)
HEALTHY = timed(0.001, 0.01)


def test_a_note_with_the_share_and_what_it_costs():
    (found,) = judge(BROKEN)
    assert (found.severity, found.cause) == ("note", "slow")
    assert found.title == "75 % of the time of a step goes by waiting for its batch"
    assert "75 s" in [line.value for line in found.evidence]


def test_borders():
    assert judge(timed(0.0031, 0.007))
    assert not judge(timed(0.0029, 0.007))
    assert not judge(timed(0.03, 0.01, whole=6.0))  # 4.5 seconds


class Slow(Dataset):
    def __init__(self, seconds):
        self.seconds = seconds
        self.x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return 64

    def __getitem__(self, k):
        time.sleep(self.seconds)
        return self.x[k], int(self.x[k, 0] > 0)


def measured(seconds, runs):
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    if not seconds:
        network = nn.Sequential(nn.Linear(4, 4096), nn.ReLU(), nn.Linear(4096, 1024), nn.ReLU(), nn.Linear(1024, 2))
    given = {"train": Slow(seconds), "validation": Slow(0), "test": False}
    experiment = tw.Experiment(network, loss="cross_entropy", directory=runs, **given)
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, batch_size=8)
    setup = experiment._set_up(plan)
    before = {name: value.clone() for name, value in setup.network.state_dict().items()}
    feeder = setup.feeder(experiment.data.train, batch_size=8, seed=0)
    found = waiting(setup.network, experiment.loss, setup.plan, feeder, budget=Budget(10.0))
    assert all(bool((value == before[name]).all()) for name, value in setup.network.state_dict().items())
    return Readings([*found, Reading("speed.whole", 100.0)])


def test_a_slow_dataset_starves_the_step_and_a_quick_one_does_not(runs):
    assert judge(measured(0.005, runs))
    assert not judge(measured(0.0, runs))

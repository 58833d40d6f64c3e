import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.probes.budget import Budget
from thalweg.probes.speed import doubling
from thalweg.readings import Reading, Readings
from thalweg.rules.speed.speed02_tiny_batches import judge


def timed(double, low, high, whole=100.0):
    return Readings([Reading("speed.double", double, low=low, high=high, count=4), Reading("speed.whole", whole)])


BROKEN = timed(1.05, 1.0, 1.15)
HEALTHY = timed(1.9, 1.8, 2.0)


def test_a_note_that_says_what_doubling_brings():
    (found,) = judge(BROKEN)
    assert (found.severity, found.cause) == ("note", "slow")
    assert found.remedies[1].changes == {"batch_size": 8}
    assert "1.9 times as many" in [line.value for line in found.evidence]


def test_borders():
    assert not judge(timed(1.05, 1.0, 1.3))  # within the range of the repeats it may not be flat
    assert not judge(timed(1.05, 1.0, 1.15, whole=20.0))


def measured(batch, width):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * batch, 64, generator=generator)
    y = (x[:, 0] > 0).long()
    network = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, batch_size=batch, seed=0)
    found = doubling(network, F.cross_entropy, plan, x, y, budget=Budget(20.0))
    return Readings([*found, Reading("speed.whole", 100.0)])


def test_four_rows_cost_as_much_as_eight_and_two_thousand_do_not():
    tiny, large = measured(4, 32), measured(2048, 512)
    assert tiny.value("speed.double") < 1.5  # a busy machine spreads the repeats, which forbids the note
    assert large.value("speed.double") > 1.5
    assert not judge(large)


def test_fewer_rows_than_two_batches_are_not_timed():
    network = nn.Linear(4, 2)
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, batch_size=8)
    assert doubling(network, F.cross_entropy, plan, torch.randn(12, 4), torch.zeros(12).long(), budget=Budget(1)) == []

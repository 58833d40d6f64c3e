"""Twins that train together are what they are one by one."""

from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.rows import Rows
from thalweg.data.task import Task
from thalweg.measure.head import FREE
from thalweg.parts.optimizers import SGD, AdamW
from thalweg.parts.schedules import Cosine, OneCycle
from thalweg.plan import Plan
from thalweg.probes.budget import Budget
from thalweg.probes.lanes import Lanes, Together
from thalweg.probes.twin import Lane, Twin
from thalweg.train.losses import NAMED

TASK = Task("binary", (0, 1), 2)
MANY = Budget(600.0)
X = torch.randn(120, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
ROWS = Rows(X, (X[:, 0] > 0).long(), torch.arange(120), "train")


ADAMW, COSINE = AdamW(lr=0.01), Cosine()


def twin(*, width: int = 8, seed: int = 5, optimizer: Any = ADAMW, schedule: Any = COSINE, **more: Any) -> Twin:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2)).double()
    options = {"schedule": schedule, "epochs": 3, "batch_size": 16, "seed": seed} | more
    plan = Plan.plain(optimizer=optimizer, **options)
    feeders = Feeder(ROWS, batch_size=16, seed=seed), Feeder(ROWS, batch_size=50, seed=0, shuffle=False)
    return Twin(network, NAMED["cross_entropy"], plan, 24, *feeders, task=TASK, head=FREE)


def weights(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def alone(own: Twin, steps: int) -> Lane:
    lane = Lane(own)
    lane.advance(steps, budget=MANY)
    return lane


def test_each_is_what_it_is_alone() -> None:
    """Rates, decay and clipping of their own, over the end of an epoch; another width is a lane."""
    twins = [twin(optimizer=AdamW(lr=0.01 * (k + 1), weight_decay=0.1 * k), clip_norm=0.1 * (k + 1)) for k in range(3)]
    twins.insert(1, twin(width=5))
    lanes = Lanes(twins, steps=20)
    assert [type(part) for part in lanes.parts] == [Together, Lane]
    for steps in (7, 13):
        lanes.advance(steps, budget=MANY)
    for place, own in enumerate(twins):
        lane = alone(own, 20)
        assert lanes.done(place) == 20
        torch.testing.assert_close(weights(lanes.network(place)), weights(lane.network), rtol=1e-11, atol=1e-12)
        ours, theirs = lanes.score(place), lane.score()
        assert ours is not None
        assert theirs is not None
        assert abs(ours.value - theirs.value) < 1e-9
        assert not lanes.lost(place)


def test_other_orders_of_the_rows_go_together() -> None:
    twins = [twin(seed=seed, optimizer=SGD(lr=0.1, momentum=0.9)) for seed in (1, 2, 3)]
    lanes = Lanes(twins, steps=20)
    assert len(lanes.parts) == 1
    lanes.advance(20, budget=MANY)
    for place, own in enumerate(twins):
        torch.testing.assert_close(
            weights(lanes.network(place)), weights(alone(own, 20).network), rtol=1e-11, atol=1e-12
        )


def test_a_cycled_momentum() -> None:
    twins = [twin(optimizer=SGD(lr=0.02 * k, momentum=0.9), schedule=OneCycle()) for k in (1, 2)]
    lanes = Lanes(twins, steps=24)
    lanes.advance(24, budget=MANY)
    for place, own in enumerate(twins):
        torch.testing.assert_close(
            weights(lanes.network(place)), weights(alone(own, 24).network), rtol=1e-11, atol=1e-12
        )


def test_one_that_is_lost_leaves_the_others() -> None:
    twins = [twin(optimizer=SGD(lr=rate)) for rate in (0.1, 1e150, 0.2)]
    lanes = Lanes(twins, steps=50)
    lanes.advance(50, budget=MANY)
    assert [lanes.lost(place) for place in range(3)] == [False, True, False]
    torch.testing.assert_close(weights(lanes.network(2)), weights(alone(twins[2], 50).network), rtol=1e-10, atol=1e-11)


def test_a_spent_budget_ends_it() -> None:
    lanes = Lanes([twin(), twin(optimizer=AdamW(lr=0.02))], steps=1000)
    lanes.advance(1000, budget=Budget(0.0))
    assert lanes.done(0) == 0
    lanes.advance(10, budget=MANY)
    assert lanes.done(1) == 10

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.data.feeder import Feeder
from thalweg.data.rows import Rows
from thalweg.data.task import Task
from thalweg.measure.head import FREE
from thalweg.parts.optimizers import SGD, AdamW
from thalweg.parts.schedules import Constant, Cosine
from thalweg.plan import Plan
from thalweg.probes.budget import Budget
from thalweg.probes.twin import Lane, Twin, score_of, train, windows
from thalweg.train.clone import clone

TASK = Task("binary", (0, 1), 2)
MANY = Budget(60.0)


def twin(*, optimizer=AdamW(lr=0.01), schedule=Constant(), accumulate=1, **more):  # noqa: B008
    x = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    rows = Rows(x, (x[:, 0] > 0).long(), torch.arange(120), "train")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 2))
    plan = Plan.plain(optimizer=optimizer, schedule=schedule, epochs=3, batch_size=16, seed=5, accumulate=accumulate)
    feeders = Feeder(rows, batch_size=16, seed=5), Feeder(rows, batch_size=50, seed=0, shuffle=False)
    return Twin(network, F.cross_entropy, plan, 24, *feeders, task=TASK, head=FREE, **more)


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_a_lane_that_stops_and_goes_on_is_one_that_did_not_stop():
    whole, halting = Lane(twin(schedule=Cosine())), Lane(twin(schedule=Cosine()))
    whole.advance(20, budget=MANY)
    for steps in (3, 8, 9):
        halting.advance(steps, budget=MANY)
        halting.score()
    assert torch.equal(weights(whole.network), weights(halting.network))
    assert (whole.done, halting.done) == (20, 20)
    assert torch.equal(weights(train(twin(schedule=Cosine()), steps=20, budget=MANY)[0]), weights(whole.network))


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("optimizer", [AdamW(lr=0.01), SGD(lr=0.1, momentum=0.9)], ids=["adamw", "sgd"])
def test_a_training_goes_on_from_its_state_as_if_it_had_not_ended(accumulate, optimizer):
    whole = Lane(twin(optimizer=optimizer, accumulate=accumulate))
    whole.advance(7, budget=MANY)
    state = {name: value.clone() for name, value in whole.step_on.state_dict().items()}
    middle = clone(whole.network)
    later = twin(optimizer=optimizer, accumulate=accumulate, first_step=7, state=state)
    rest = Lane(Twin(**{**vars(later), "network": middle}))
    whole.advance(6, budget=MANY)
    rest.advance(6, budget=MANY)
    assert torch.equal(weights(whole.network), weights(rest.network))


def test_windows_begin_at_any_update():
    feeder = twin().train
    first = [window[0][1].tolist() for window, _ in zip(windows(feeder, 3), range(9), strict=False)]
    later = [window[0][1].tolist() for window, _ in zip(windows(feeder, 3, 4), range(5), strict=False)]
    assert first[4:] == later


def test_a_diverging_lane_is_lost_and_the_original_is_left_alone():
    given = twin(optimizer=SGD(lr=1e6))
    before = weights(given.network).clone()
    lane = Lane(given)
    lane.advance(200, budget=MANY)
    assert lane.lost
    assert lane.done < 200
    assert torch.equal(weights(given.network), before)


def test_a_budget_that_ran_out_ends_it_at_the_next_look():
    lane = Lane(twin())
    lane.advance(1000, budget=Budget(0.0))
    assert lane.done == 25


def test_scores_of_some_rows_are_those_of_whole_batches():
    given = twin()
    assert len(score_of(given, given.network).each) == 120
    assert len(score_of(given, given.network, rows=60).each) == 100

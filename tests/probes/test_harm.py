import torch
from torch import nn
from torch.nn import functional as F

from thalweg.data.feeder import Feeder
from thalweg.data.rows import Rows
from thalweg.data.task import Task
from thalweg.measure.head import FREE
from thalweg.measure.score import Score
from thalweg.parts.optimizers import SGD
from thalweg.plan import Plan
from thalweg.probes.budget import Budget
from thalweg.probes.harm import LEAST, compared, harm
from thalweg.probes.twin import Twin, score_of, train

G = torch.Generator().manual_seed(0)
X = torch.randn(600, 8, generator=G)
Y = (X @ torch.randn(8, 4, generator=G)).argmax(1)
TASK = Task("multiclass", tuple(range(4)), 4)


def twin(rate: float, seed: int = 0) -> Twin:
    torch.manual_seed(0)
    ids = torch.arange(600)
    train_rows = Rows(X[:400], Y[:400], ids[:400], "train")
    held = Rows(X[400:], Y[400:], ids[400:], "validation")
    return Twin(
        nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)),
        F.cross_entropy,
        Plan.plain(optimizer=SGD(lr=rate), epochs=8, batch_size=32, seed=seed),
        100,
        Feeder(train_rows, batch_size=32, seed=seed),
        Feeder(held, batch_size=200, seed=seed, shuffle=False),
        task=TASK,
        head=FREE,
    )


def found(rate: float, seconds: float = 20.0):
    plain, changed = twin(rate), twin(0.5)
    network, _ = train(plain, steps=100, budget=Budget(20))
    reached = score_of(plain, network)
    readings = harm("x", reached, plain, changed, steps=100, step_seconds=1e-3, budget=Budget(seconds))
    return {r.name.removeprefix("twin.x."): r for r in readings}


def test_a_remedy_that_helps_is_compared_and_controlled():
    readings = found(1e-5)
    assert readings["changed"].value > readings["plain"].value + 0.3
    assert readings["difference"].low > 0
    assert readings["control"].value < readings["changed"].value - 0.3
    assert readings["steps"].value == 1.0


def test_a_training_that_reaches_nearly_all_needs_no_twin():
    readings = found(0.5)
    assert readings["changed"].note == "bound"
    assert "control" not in readings


def test_without_time_nothing_is_trained():
    assert found(1e-5, seconds=0.001) == {}


def test_the_error_is_at_least_that_of_the_rows():
    own = Score("accuracy", torch.tensor([1.0, 0.0] * 50, dtype=torch.float64), 0.5)
    equal = compared("x", own, torch.zeros(100, dtype=torch.float64), 0.5, 1.0)[3]
    assert equal.high == 2 * own.error > LEAST

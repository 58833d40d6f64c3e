import pytest
import torch
from torch import nn

from thalweg.measure.representation import effective_rank, last_rank
from thalweg.readings import Reading, Readings
from thalweg.rules.arch.arch04_rank import judge


def outcome(rank, gain=0.2, *, classes=10):
    return Readings(
        [
            Reading("representation.rank", rank, "3", 500, count=64),
            Reading("reference.gain", gain, low=gain - 0.03, high=gain + 0.03, note="nearest neighbors"),
            Reading("task.classes", classes),
        ]
    )


BROKEN = outcome(1.8)
HEALTHY = outcome(8.7)


def test_a_collapsed_representation_is_a_suspicion():
    (found,) = judge(BROKEN)
    assert (found.standing, found.cause, found.counts) == ("suspicion", "underfitting", False)


def test_what_is_no_bottleneck():
    assert judge(outcome(1.8, gain=0.01)) == []  # plain learners do no better
    assert judge(outcome(1.8, classes=3)) == []


@pytest.mark.parametrize(("width", "faulty"), [(2, True), (32, False)])
def test_a_narrow_layer_has_a_small_rank(width, faulty):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    (rank,) = last_rank(network, torch.randn(300, 64), step=9)
    assert (rank.place, rank.count) == ("2", width)
    assert bool(judge(outcome(rank.value))) is faulty


def test_the_rank_of_equal_directions_is_their_number():
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(100, 5, dtype=torch.float64))[0]
    basis = basis - basis.mean(0)
    values = torch.linalg.qr(basis)[0] @ torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0]
    assert effective_rank(values) == pytest.approx(5, abs=1e-6)

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from thalweg.data.task import Task
from thalweg.measure.head import FREE
from thalweg.measure.score import score
from thalweg.parts.optimizers import SGD
from thalweg.probes.paired import STUDENT, Variant, compare, summary

G = torch.Generator().manual_seed(0)
X = torch.randn(300, 5, generator=G)
Y = (X[:, :1] * X[:, 1:2] > 0).float()


def variant(x=X, network=None) -> Variant:
    torch.manual_seed(0)
    network = network or nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 1))
    return Variant(network, x, Y, constant=0.693, floor=0.0)


def values(*args, **options):
    return {r.name.split(".")[-1]: r for r in compare("x", *args, F.binary_cross_entropy_with_logits, **options)}


def test_no_change_is_exactly_no_difference():
    found = values(variant(), variant(), steps=60)
    assert (found["difference"].value, found["difference"].low, found["difference"].high) == (0.0, 0.0, 0.0)
    assert found["plain"].value > 0.3


def test_a_remedy_shows_beyond_chance():
    found = values(variant(1000 * X), variant(), optimizer=SGD(lr=0.1), steps=150)
    assert found["difference"].low > 0
    assert found["plain"].value < 0.5 * found["changed"].value


def test_held_out_rows_are_judged_on_where_asked():
    plain, noise = variant(), Variant(variant().network, X, Y[torch.randperm(300)], constant=0.693, floor=0.0)
    assert values(plain, noise)["changed"].value > 0.05  # noise is learned by heart
    assert values(plain, noise, held=0.25)["changed"].value < 0.0


def test_a_rate_that_is_free_is_chosen_for_each_side():
    fixed = values(variant(30 * X), variant(), optimizer=SGD(lr=0.5), steps=100)
    free = values(variant(30 * X), variant(), steps=100)
    assert free["plain"].value > fixed["plain"].value


def test_a_training_that_diverges_counts_as_minus_one():
    found = values(variant(1e6 * X), variant(), optimizer=SGD(lr=10.0), steps=60)
    assert found["plain"].value == -1.0


def test_networks_stay_as_they_are_and_the_result_repeats():
    plain = variant()
    before = [p.detach().clone() for p in plain.network.parameters()]
    first = values(plain, variant(2 * X), steps=60)
    assert all(torch.equal(a, b) for a, b in zip(before, plain.network.parameters(), strict=True))
    second = values(plain, variant(2 * X), steps=60)
    if first["difference"].count == second["difference"].count:
        assert first == second


def measured(output, target):
    return score(output, target, task=Task("binary", (0, 1), 2), head=FREE)


def test_with_a_measure_shares_of_a_score_are_told():
    found = values(variant(), variant(2 * X), steps=60, measure=measured, num_steps=120)
    assert 0 <= found["plain"].value <= found["plain"].high <= 1.1
    assert (found["share"].value, found["lost"].value) == (0.5, 0.0)
    lost = values(variant(1e6 * X), variant(), optimizer=SGD(lr=10.0), steps=60, measure=measured)
    assert (lost["plain"].value, lost["lost"].value) == (0.0, 1.0)
    assert "share" not in lost


def test_a_network_that_answers_all_rows_alike_is_lost():
    dead = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 1))
    nn.init.constant_(dead[0].bias, -100.0)
    found = values(variant(network=dead), variant(), optimizer=SGD(lr=0.1), steps=60, measure=measured)
    assert (found["plain"].value, found["lost"].value) == (0.0, 1.0)


def test_too_slow_a_network_is_not_judged():
    assert values(variant(), variant(), seconds=1e-3) == {}


@pytest.mark.parametrize("count", STUDENT)
def test_intervals_are_students(count):
    sample = torch.randn(count, generator=G, dtype=torch.float64)
    found = summary("x", sample.tolist())
    low, high = stats.t.interval(0.95, count - 1, loc=float(sample.mean()), scale=stats.sem(sample.numpy()))
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-3), pytest.approx(high, rel=1e-3))

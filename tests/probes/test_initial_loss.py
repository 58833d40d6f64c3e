import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.errors import TrainingError
from thalweg.probes.initial_loss import initial_loss

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(400, 6, generator=G), torch.randint(0, 5, (400,), generator=G)


def test_mean_and_interval_are_those_of_the_samples():
    network = nn.Linear(6, 5)
    each = F.cross_entropy(network(X), Y, reduction="none").double().detach()
    found = initial_loss(network, F.cross_entropy, X, Y, batch_size=64)
    assert found.value == pytest.approx(float(each.mean()), rel=1e-6)
    assert found.high - found.low == pytest.approx(2 * 1.96 * float(each.std()) / math.sqrt(400), rel=1e-5)
    assert found.count == 400


def test_it_is_the_loss_of_training_mode_and_leaves_no_trace():
    network = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.9)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = initial_loss(network, F.cross_entropy, X, Y)
    assert found.value > initial_loss(network[:2], F.cross_entropy, X, Y).value  # dropout drops
    assert found == initial_loss(network, F.cross_entropy, X, Y)  # the noise is a function of the seed
    assert found != initial_loss(network, F.cross_entropy, X, Y, seed=1)
    assert not network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_interval_covers_the_whole_sets_mean_19_times_in_20():
    network = nn.Linear(6, 5)
    x, y = torch.randn(20_000, 6, generator=G), torch.randint(0, 5, (20_000,), generator=G)
    whole = float(F.cross_entropy(network(x), y).detach())
    hits = 0
    for start in range(0, 20_000, 100):
        rows = slice(start, start + 100)
        found = initial_loss(network, F.cross_entropy, x[rows], y[rows], batch_size=50)
        hits += found.low <= whole <= found.high
    assert 180 <= hits <= 199  # 190 of 200 expected, two deviations of a binomial are 6


def test_a_sum_is_divided_by_its_rows():
    network = nn.Linear(6, 5)
    mean = initial_loss(network, F.cross_entropy, X, Y).value
    summed = initial_loss(network, lambda o, t: F.cross_entropy(o, t, reduction="sum"), X, Y).value
    assert summed == pytest.approx(mean, rel=1e-5)


def test_a_loss_that_compares_rows_gets_its_interval_over_batches():
    def contrast(output, target):
        return F.cross_entropy(output @ output.T, torch.arange(len(output)))

    found = initial_loss(nn.Linear(6, 5), contrast, X, Y, batch_size=50)
    assert found.low < found.value < found.high


def test_nan_is_kept():
    assert math.isnan(initial_loss(nn.Linear(6, 5), lambda o, t: o.sum() * math.nan, X, Y).value)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda o, t: F.cross_entropy(o, t, reduction="none"), r"shape \[64\].*one value is needed"),
        (lambda o, t: 1.0, "returned float"),
        (nn.BCELoss(), r"outputs of shape \[64, 5\] and targets of shape \[64\]"),
    ],
)
def test_losses_that_cannot_be_used_say_why(loss, words):
    with pytest.raises(TrainingError, match=words):
        initial_loss(nn.Linear(6, 5), loss, X, Y)

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.probes.overfit import distinct_rows, overfit, without_dropout

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(200, 6, generator=G), torch.randint(0, 4, (200,), generator=G)
NUMBERS = torch.randn(200, 1, generator=G)


def mlp(outputs: int, activation: type[nn.Module] = nn.ReLU, depth: int = 1, width: int = 64) -> nn.Sequential:
    torch.manual_seed(0)
    hidden = [m for _ in range(depth) for m in (nn.Linear(width, width), activation())]
    return nn.Sequential(nn.Linear(6, width), activation(), *hidden, nn.Linear(width, outputs))


def values(*args, **options):
    return {r.name: r.value for r in overfit(*args, **options)}


def test_random_labels_are_learned_by_heart():
    found = values(mlp(4), F.cross_entropy, X, Y, num_classes=4)
    assert found["overfit.rows"] == 32
    assert found["overfit.share"] >= 0.9
    assert found["overfit.steps"] < 150


def test_regression_and_binary_targets_too():
    assert "overfit.steps" in values(mlp(1), F.mse_loss, X, NUMBERS)
    assert "overfit.steps" in values(mlp(1), F.binary_cross_entropy_with_logits, X, (NUMBERS > 0).float())


def test_dropout_is_off_and_norms_use_their_batch():
    network = nn.Sequential(nn.Linear(6, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.9), nn.Linear(64, 4))
    assert "overfit.steps" in values(network, F.cross_entropy, X, Y, num_classes=4)
    clone = without_dropout(network)
    assert clone[1].training
    assert not clone[3].training


def test_a_stack_of_sigmoids_stays_short():
    found = values(mlp(4, nn.Sigmoid, depth=12), F.cross_entropy, X, Y, num_classes=4)
    assert found["overfit.share"] < 0.5
    assert "overfit.steps" not in found


def test_a_dead_network_learns_nothing_beyond_a_constant():
    network = mlp(4)
    with torch.no_grad():
        network[2].bias.fill_(-100.0)
    found = values(network, F.cross_entropy, X, Y, num_classes=4)
    assert found["overfit.share"] == pytest.approx(0.0, abs=0.02)
    assert found["overfit.trend"] == pytest.approx(0.0, abs=0.02)


def test_without_time_nothing_is_claimed():
    found = values(mlp(4, nn.Sigmoid, depth=12), F.cross_entropy, X, Y, num_classes=4, seconds=0.0)
    assert "overfit.share" not in found


def test_rows_are_distinct_and_classes_take_turns():
    x = torch.cat([torch.zeros(50, 2), torch.arange(20.0).reshape(10, 2)])
    y = torch.cat([torch.arange(50) % 2, torch.tensor([0] * 8 + [1] * 2)])
    rows = distinct_rows(x, y, 6)
    assert len(torch.unique(x[rows], dim=0)) == len(rows) == 6
    assert y[rows].bincount().tolist() == [4, 2]  # as many of the rare class as there are
    assert len(distinct_rows(x, y, 100)) == 11  # the row of zeros comes once


def test_contradictory_labels_are_no_failure():
    x, y = X[:4].repeat(50, 1), torch.randint(0, 4, (200,), generator=G)
    assert "overfit.steps" in values(mlp(4), F.cross_entropy, x, y, num_classes=4)


def test_a_loss_without_room_is_not_judged():
    assert overfit(mlp(4), F.cross_entropy, X, torch.zeros(200, dtype=torch.long), num_classes=4) == []


def test_the_network_is_not_trained():
    network = mlp(4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    overfit(network, F.cross_entropy, X, Y, num_classes=4)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())

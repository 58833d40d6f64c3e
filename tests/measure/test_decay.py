import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.decay import decay_pull
from thalweg.parts.regularizers import L1
from thalweg.readings import Readings


def ridge(weight_decay):
    """The minimum of a mean square with decay, in closed form, and the gradient of the loss alone there."""
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = x @ torch.ones(5, 1, dtype=torch.float64)
    gram = 2 * x.T @ x / len(x)
    layer = nn.Linear(5, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.linalg.solve(gram + weight_decay * torch.eye(5), 2 * x.T @ y / len(x)).T)
    F.mse_loss(layer(x), y).backward()
    return layer.weight


@pytest.mark.parametrize("weight_decay", [0.01, 1.0, 100.0])
def test_at_the_minimum_decay_takes_back_the_whole_gradient(weight_decay):
    weight = ridge(weight_decay)
    found = Readings(decay_pull([weight], [weight.grad], weight_decay=weight_decay))
    assert found.value("decay.balance") == pytest.approx(1.0)
    assert found.value("decay.ratio") == pytest.approx(1.0)


def test_a_regularizer_counts_and_its_absence_measures_nothing():
    weight, gradient = torch.tensor([1.0, -2.0]), torch.tensor([-0.3, 0.3])
    found = Readings(decay_pull([weight], [gradient], weight_decay=0.0, regularizer=L1(strength=0.3)))
    assert found.value("decay.balance") == pytest.approx(1.0)
    assert weight.tolist() == [1.0, -2.0]
    assert decay_pull([weight], [gradient], weight_decay=0.0) == []
    assert decay_pull([weight], [None], weight_decay=0.1) == []
    assert decay_pull([weight], [torch.zeros(2)], weight_decay=0.1) == []

import pytest
import torch
from torch.nn import functional as F

from thalweg.measure.answers import Sheet
from thalweg.measure.head import FREE, Head
from thalweg.measure.proper import alignment, is_central

TARGET = torch.arange(120) % 5
WEIGHT = torch.tensor([1.0, 10.0, 1.0, 0.1, 3.0])
SOFTMAX, SIGMOID = Head("softmax", dim=1, size=5), Head("sigmoid", 0.0, 1.0)


def found(loss, head, target=TARGET, classes=5):
    width = 1 if classes == 2 else classes
    given = Sheet(loss, torch.zeros(len(target), width), target, head, num_classes=classes)
    reading = alignment(given, torch.Generator().manual_seed(0))
    return None if reading is None else reading.value


def one_hot(target):
    return F.one_hot(target, 5).float()


@pytest.mark.parametrize(
    ("loss", "head"),
    [
        (F.cross_entropy, FREE),
        (lambda o, t: F.cross_entropy(o, t, weight=WEIGHT), FREE),
        (lambda o, t: 7 * F.cross_entropy(o, t, reduction="sum"), FREE),
        (lambda o, t: F.nll_loss(o.log(), t), SOFTMAX),
        (F.nll_loss, Head("log_softmax", dim=1, size=5)),
        (
            lambda o, t: (
                (1 - o.softmax(1).gather(1, t[:, None])[:, 0]) ** 2 * F.cross_entropy(o, t, reduction="none")
            ).sum(),
            FREE,
        ),
    ],
)
def test_likelihoods_are_aligned(loss, head):
    assert abs(found(loss, head) - 1) < 1e-5


@pytest.mark.parametrize(
    ("loss", "head"),
    [
        (lambda o, t: F.nll_loss((o / o.sum(1, keepdim=True)).log(), t), SIGMOID),
        (lambda o, t: F.binary_cross_entropy(o, one_hot(t)), SIGMOID),
        (lambda o, t: F.mse_loss(o, one_hot(t)), SOFTMAX),
        (F.cross_entropy, SOFTMAX),
    ],
)
def test_others_are_not(loss, head):
    assert found(loss, head) < 0.99


def test_of_two_classes_one_output():
    target = torch.arange(120) % 2

    def bce(output, target):
        return F.binary_cross_entropy(output[:, 0], target.float())

    assert abs(found(bce, SIGMOID, target, 2) - 1) < 1e-5


def test_regressions_are_not_judged():
    given = Sheet(F.mse_loss, torch.zeros(20, 1), torch.randn(20, 1), FREE)
    assert alignment(given, torch.Generator()) is None


def quantile(output, target):
    return torch.maximum(0.8 * (target - output), 0.2 * (output - target)).mean()


@pytest.mark.parametrize(
    ("loss", "central"),
    [
        (F.mse_loss, True),
        (F.l1_loss, True),
        (torch.nn.HuberLoss(reduction="sum"), True),
        (lambda o, t: (o - t).cosh().log().mean(), True),
        (torch.nn.PoissonNLLLoss(), False),
        (quantile, False),
        (lambda o, t: -F.mse_loss(o, t), False),
    ],
)
def test_what_a_loss_of_numbers_asks_for(loss, central):
    target = torch.rand(200, 1, generator=torch.Generator().manual_seed(0)) * 5
    assert is_central(loss, torch.zeros(200, 1), target) is central


def test_of_outputs_of_another_number_it_is_not_told():
    assert is_central(F.gaussian_nll_loss, torch.zeros(8, 2), torch.rand(8, 1))

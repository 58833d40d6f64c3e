import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.answers import Sheet
from thalweg.measure.head import FREE, Head
from thalweg.measure.loss_rows import pull, row_mixing
from thalweg.readings import Reading, Readings
from thalweg.rules.loss.loss03_rows_mixed import judge

BROKEN = Readings([Reading("loss.mixing", 0.1, count=128)])
HEALTHY = Readings([Reading("loss.mixing", 1e-7, count=128)])
TARGET = torch.arange(64) % 4
SOFTMAX = Head("softmax", 0.0, 1.0, dim=1, size=4)
WEIGHTS = torch.tensor([1.0, 5.0, 0.2, 1.0])


def twin(plain: float, changed: float) -> list[Reading]:
    gain = changed - plain
    return [
        Reading("twin.likelihood.plain", plain, note="accuracy", count=500),
        Reading("twin.likelihood.changed", changed, note="accuracy", count=500),
        Reading("twin.likelihood.difference", gain, low=gain - 0.04, high=gain + 0.04, count=500),
        Reading("twin.likelihood.constant", 0.1),
        Reading("twin.likelihood.steps", 1.0),
    ]


def test_it_is_a_note_until_a_twin_shows_harm():
    (fact,) = judge(BROKEN)
    assert (fact.severity, fact.standing) == ("note", "proven")
    (alarm,) = judge(Readings([*BROKEN, *twin(0.3, 0.9)]))
    assert (alarm.severity, alarm.standing, alarm.cause) == ("error", "verified", "loss_head_mismatch")
    assert not judge(Readings([*BROKEN, *twin(0.85, 0.9)]))[0].counts


def test_outputs_that_broadcast_are_told_by_their_own_rule():
    pairs = [Reading("loss.pairing", 0.0), Reading("loss.compared", 64.0)]
    assert judge(Readings([*BROKEN, *pairs])) == []


def one_hot(target):
    return F.one_hot(target, 4).float()


def rmse(output, target):
    return (output - one_hot(target)).square().mean().sqrt()


def over_rows(output, target):
    return -output.softmax(0).gather(1, target[:, None]).log().mean()


def centered(output, target):
    return F.cross_entropy(output - output.mean(0), target)


def scaled(output, target):
    return F.cross_entropy(output / output.std(0), target)


def hardest(output, target):
    return F.cross_entropy(output, target, reduction="none").topk(8).values.mean()


APART = [
    F.cross_entropy,
    nn.CrossEntropyLoss(reduction="sum"),
    nn.CrossEntropyLoss(weight=WEIGHTS),
    nn.CrossEntropyLoss(label_smoothing=0.2),
    F.multi_margin_loss,
    rmse,
]


@pytest.mark.parametrize("loss", APART)
@pytest.mark.parametrize("head", [FREE, SOFTMAX])
def test_sums_and_means_over_rows_mix_nothing(loss, head):
    found = row_mixing(Sheet(loss, torch.zeros(64, 4), TARGET, head, 4), torch.Generator().manual_seed(0))
    assert found.value < 1e-5


@pytest.mark.parametrize("loss", [over_rows, centered, scaled, hardest])
def test_what_runs_over_the_rows_is_seen(loss):
    found = row_mixing(Sheet(loss, torch.zeros(64, 4), TARGET, FREE, 4), torch.Generator().manual_seed(0))
    assert judge(Readings([found]))


def test_a_loss_that_draws_random_numbers_is_not_judged():
    def noisy(output, target):
        return F.cross_entropy(output + torch.randn_like(output), target)

    assert row_mixing(Sheet(noisy, torch.zeros(64, 4), TARGET, FREE, 4), torch.Generator().manual_seed(0)) is None


def nll_of(output, target):
    return F.nll_loss(output.clamp_min(1e-7).log(), target)


def focal(output, target):
    p = output.softmax(1).gather(1, target[:, None])
    return (-((1 - p) ** 2) * p.log()).mean()


def test_the_pull_of_cross_entropies_is_one_and_of_probabilities_is_their_own():
    """The gradient of -p is p times that of -ln p."""
    assert pull(Sheet(F.cross_entropy, torch.zeros(64, 4), TARGET, FREE, 4)).value == pytest.approx(1, rel=1e-4)
    assert pull(Sheet(nll_of, torch.zeros(64, 4), TARGET, SOFTMAX, 4)).value == pytest.approx(1, rel=1e-3)
    assert pull(Sheet(F.nll_loss, torch.zeros(64, 4), TARGET, SOFTMAX, 4)).value == pytest.approx(2e-3, rel=1e-3)
    assert pull(Sheet(focal, torch.zeros(64, 4), TARGET, FREE, 4)).value > 1


def test_the_pull_of_one_logit():
    target = TARGET % 2

    def with_logits(output, target):
        return F.binary_cross_entropy_with_logits(output[:, 0], target.float())

    def distance(output, target):
        return (output[:, 0] - target).abs().mean()

    assert pull(Sheet(with_logits, torch.zeros(64, 1), target, FREE, 2)).value == pytest.approx(1, rel=1e-4)
    sigmoid = Head("sigmoid", 0.0, 1.0)
    assert pull(Sheet(distance, torch.zeros(64, 1), target, sigmoid, 2)).value == pytest.approx(2e-3, rel=1e-2)

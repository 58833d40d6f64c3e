"""What a loss rewards, against closed forms."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.answers import Sheet, examine, sheet_of, takes_logarithm
from thalweg.measure.head import FREE, head_of

G = torch.Generator().manual_seed(0)
ROWS, CLASSES = 200, 10
LOGITS = torch.randn(ROWS, CLASSES, generator=G)
LABELS = torch.randint(0, CLASSES, (ROWS,), generator=G)
ONE = torch.randn(ROWS, 1, generator=G)
HALVES = (torch.rand(ROWS, 1, generator=G) < 0.3).float()
NUMBERS = 3 * torch.randn(ROWS, 1, generator=G) + 1


def examined(loss, output, target):
    """The readings of a loss; `output` is a function of the free outputs, so that it has a history."""
    output = output.requires_grad_() if output.grad_fn is None else output
    sheet = sheet_of(loss, output, target, head_of(output), None if target.is_floating_point() else CLASSES)
    return {r.name: r.value for r in examine(sheet, torch.Generator().manual_seed(0))}


def free(value):
    return value.clone().requires_grad_() * 1


def entropy(labels):
    share = labels.bincount().double() / len(labels)
    return float(-(share * share.log()).sum())


def test_cross_entropy_has_the_entropy_of_the_prior():
    found = examined(F.cross_entropy, free(LOGITS), LABELS)
    assert found["loss.constant"] == pytest.approx(entropy(LABELS), rel=1e-5)
    assert found["loss.uniform"] == pytest.approx(math.log(CLASSES), rel=1e-6)
    assert found["loss.floor"] == pytest.approx(0.0, abs=1e-4)
    assert found["loss.batch_factor"] == pytest.approx(1.0, rel=1e-5)
    assert found["loss.rewards_wrong"] < 0
    assert found["loss.bottomless"] == 0
    assert "loss.outside" not in found


def test_binary_cross_entropy_has_the_entropy_of_the_share():
    p = float(HALVES.mean())
    found = examined(F.binary_cross_entropy_with_logits, free(ONE), HALVES)
    assert found["loss.constant"] == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p), rel=1e-5)
    assert found["loss.uniform"] == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_regression_losses_have_their_spread(scale):
    target = NUMBERS * scale
    found = examined(F.mse_loss, free(ONE), target)
    assert found["loss.constant"] == pytest.approx(float(target.double().var(correction=0)), rel=1e-4)
    assert found["loss.uniform"] == pytest.approx(float(target.double().square().mean()), rel=1e-5)
    found = examined(F.l1_loss, free(ONE), target)
    median = target.double().median()
    assert found["loss.constant"] == pytest.approx(float((target.double() - median).abs().mean()), rel=1e-3)
    assert found["loss.pairing"] > 1e-3


def test_double_softmax_has_the_floor_of_theory():
    found = examined(F.cross_entropy, free(LOGITS).softmax(1), LABELS)
    assert found["loss.floor"] == pytest.approx(math.log(1 + (CLASSES - 1) / math.e), rel=1e-4)
    assert found["loss.floor_free"] == pytest.approx(0.0, abs=1e-4)


def test_sigmoid_before_logits_has_the_floor_of_theory():
    p = float(HALVES.mean())
    found = examined(F.binary_cross_entropy_with_logits, torch.sigmoid(free(ONE)), HALVES)
    assert found["loss.floor"] == pytest.approx(p * math.log(1 + math.exp(-1)) + (1 - p) * math.log(2), rel=1e-4)


def test_relu_cannot_reach_negative_targets():
    found = examined(F.mse_loss, torch.relu(free(ONE)), NUMBERS)
    assert found["loss.floor"] == pytest.approx(float(NUMBERS.clamp(max=0).square().mean()), rel=1e-3)


def renormalized(output, target):
    """The cross-entropy of Keras."""
    return F.nll_loss((output / output.sum(1, keepdim=True)).clamp(1e-7, 1).log(), target)


def test_sigmoid_under_a_renormalized_loss_reaches_everything():
    found = examined(renormalized, torch.sigmoid(free(LOGITS)), LABELS)
    assert found["loss.floor"] < 1e-3


@pytest.mark.parametrize(
    ("loss", "output", "bottomless"),
    [
        (F.nll_loss, free(LOGITS), 1),
        (F.nll_loss, free(LOGITS).log_softmax(1), 0),
        (lambda o, t: -F.cross_entropy(o, t), free(LOGITS), 1),
        (nn.MultiMarginLoss(), free(LOGITS), 0),
    ],
)
def test_falling_without_end(loss, output, bottomless):
    assert examined(loss, output, LABELS)["loss.bottomless"] == bottomless


def test_a_learned_variance_is_not_bottomless_along_a_line():
    def likelihood(o, t):
        return (0.5 * (o[:, 1] + (t[:, 0] - o[:, 0]) ** 2 / o[:, 1].exp())).mean()

    assert examined(likelihood, free(LOGITS[:, :2]), NUMBERS)["loss.bottomless"] == 0


def test_a_squared_error_of_huge_targets_is_not_bottomless():
    assert examined(F.mse_loss, free(ONE), NUMBERS * 1e8)["loss.bottomless"] == 0


@pytest.mark.parametrize(
    ("loss", "target"),
    [(lambda o, t: -F.mse_loss(o, t), NUMBERS), (lambda o, t: -F.binary_cross_entropy_with_logits(o, t), HALVES)],
)
def test_a_turned_sign_rewards_wrong_answers(loss, target):
    assert examined(loss, free(ONE), target)["loss.rewards_wrong"] > 0


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_broadcasting_is_blind_to_pairing():
    found = examined(F.mse_loss, free(ONE), NUMBERS[:, 0])
    assert found["loss.pairing"] < 1e-6
    assert found["loss.compared"] == ROWS
    assert found["loss.floor"] == pytest.approx(found["loss.constant"], rel=1e-5)


def clipped(output, target):
    """A cross-entropy of probabilities that clips, not renormalized."""
    return F.nll_loss(output.clamp(1e-7, 1 - 1e-7).log(), target)


def test_logits_outside_of_probabilities_get_no_gradient():
    found = examined(clipped, free(LOGITS), LABELS)
    own = LOGITS.gather(1, LABELS[:, None])
    assert found["loss.outside"] == pytest.approx(float(((own <= 1e-7) | (own >= 1)).double().mean()), abs=0.01)
    assert found["loss.constant"] == pytest.approx(found["loss.floor"], abs=1e-5)  # all ones is as good as any
    assert examined(clipped, free(LOGITS).softmax(1), LABELS)["loss.outside"] == 0


def test_a_loss_that_refuses_is_examined_as_far_as_it_goes():
    found = examined(F.binary_cross_entropy, free(ONE), HALVES)
    assert found["loss.outside"] == pytest.approx(float(((ONE < 0) | (ONE > 1)).double().mean()))


def test_a_sum_is_told_and_divided_by_its_rows():
    found = examined(lambda o, t: F.cross_entropy(o, t, reduction="sum"), free(LOGITS), LABELS)
    assert found["loss.batch_factor"] == pytest.approx(2.0, rel=1e-5)
    assert found["loss.constant"] == pytest.approx(entropy(LABELS), rel=1e-5)


def test_a_logarithm_of_probabilities_rises_by_ln_100():
    target = torch.arange(40) % 5
    given = Sheet(lambda o, t: F.nll_loss((o + 1e-7).log(), t), torch.zeros(40, 5), target, FREE, num_classes=5)
    assert abs(takes_logarithm(given) - math.log(100)) < 0.01
    given = Sheet(F.cross_entropy, torch.zeros(40, 5), target, FREE, num_classes=5)
    assert abs(takes_logarithm(given)) < 0.05

"""What other libraries get wrong, each with the right answer: by counting, a closed form, or scikit-learn."""

import math

import pytest
import torch
from sklearn import metrics as reference

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics import (
    Confusion,
    ExactRanking,
    LogLoss,
    Ranking,
    Regression,
    accuracy,
    average_precision,
    confusion_matrix,
    mcc,
    metric,
    precision,
    roc_auc,
    specificity,
)


def test_logits_and_probabilities_are_never_guessed_per_batch():
    """A batch whose logits all lie from 0 to 1 is not one of probabilities."""
    batches = [
        (torch.tensor([0.9, 0.2, 0.4]), torch.tensor([1, 0, 0])),
        (torch.tensor([3.0, -2.0]), torch.tensor([1, 0])),
    ]
    whole = torch.cat([s for s, _ in batches]), torch.cat([y for _, y in batches])
    ranking, exact, confusion = Ranking(), ExactRanking(), Confusion(2)
    for s, y in batches:
        for streamed in (ranking, exact, confusion):
            streamed.update(s, y)
    assert exact.compute()["auc"].value == roc_auc(*whole) == reference.roc_auc_score(whole[1], whole[0])
    assert abs(ranking.compute()["auc"].value - roc_auc(*whole)) <= ranking.compute()["auc"].error
    # As logits 0.2 and 0.4 call class 1, as a threshold of 1/2 on them would not.
    assert confusion.matrix().tolist() == [[1, 2], [0, 2]]
    with pytest.raises(UsageError, match="'logits' or 'probabilities'"):
        Ranking(scores="auto")
    with pytest.raises(DataError, match="no probability"):
        Ranking(scores="probabilities").update(*batches[1]).compute()


@pytest.mark.parametrize("offset", [60.0, 1000.0, 1e30])
def test_huge_logits_keep_their_order(offset):
    step = abs(offset) * 2**-6  # rounded to 1 by every sigmoid
    s, y = offset + step * torch.arange(8.0), torch.tensor([0, 0, 1, 0, 1, 1, 0, 1])
    expected = reference.roc_auc_score(y, s.double())
    assert 0.5 < expected < 1
    assert roc_auc(s, y) == pytest.approx(expected, abs=1e-12)
    assert Ranking().update(s, y).compute()["auc"].value == pytest.approx(expected, abs=1e-12)
    assert Ranking().update(-s, 1 - y).compute()["auc"].value == pytest.approx(expected, abs=1e-12)
    assert ExactRanking().update(s, y).compute()["auc"].value == pytest.approx(expected, abs=1e-12)
    assert metric("auc", "binary")(s, y) == pytest.approx(expected, abs=1e-12)


def test_a_nan_is_never_accepted():
    s, y = torch.tensor([0.1, math.nan, 0.7]), torch.tensor([0, 1, 1])
    for streamed in (Ranking(), ExactRanking(), Confusion(2), LogLoss()):
        with pytest.raises(DataError, match="NaN"):
            streamed.update(s, y).compute()
    with pytest.raises(DataError, match="NaN"):
        Regression().update(s, y).compute()
    for name in ("auc", "accuracy", "mcc", "log_loss", "tpr_at_fpr_0.1", "f2", "calibration_error"):
        with pytest.raises(DataError, match="NaN"):
            metric(name, "binary")(s, y)


@pytest.mark.parametrize("label", [0, 1])
def test_a_single_class_is_undefined_and_not_0(label):
    s, y = torch.tensor([-0.1, 0.4, 0.9]), torch.full((3,), label)
    for name in ("auc", "average_precision", "mcc", "balanced_accuracy", "tpr_at_fpr_0.1", "partial_auc_0.1"):
        found = metric(name, "binary").explain(s, y)
        assert math.isnan(found.value), name
        assert "one class" in found.reason
        assert found.support == 3
    matrix = confusion_matrix((s > 0).long(), y, num_classes=2)
    assert math.isnan(mcc(matrix))
    undefined = specificity(matrix, positive=1) if label else precision(torch.tensor([[3, 0], [0, 0]]), positive=1)
    assert math.isnan(undefined)


def test_rare_scores_are_told_apart():
    """All scores below 1/200: a grid of 200 thresholds sees one value, and answers 1/2."""
    generator = torch.Generator().manual_seed(0)
    y = (torch.rand(20_000, generator=generator) < 0.01).long()
    logit = torch.randn(20_000, generator=generator) + 1.35 * y
    p = 1e-3 * logit.sigmoid()
    expected = reference.roc_auc_score(y, p)
    assert expected > 0.8
    found = Ranking(scores="probabilities").update(p, y).compute()
    assert abs(found["auc"].value - expected) < 1e-5
    assert found["auc"].error < 2e-3
    precision_area = reference.average_precision_score(y, p)
    assert abs(found["average_precision"].value - precision_area) <= found["average_precision"].error < 0.02
    assert roc_auc(p, y) == pytest.approx(expected, abs=1e-12)


def test_probabilities_near_1_are_told_apart_too():
    s = torch.tensor([10.0, 11.0, 12.0, 13.0]).double()
    y = torch.tensor([0, 1, 0, 1])
    assert Ranking(scores="probabilities").update(s.sigmoid(), y).compute()["auc"].value == 0.75


def test_accuracy_is_the_share_of_right_rows_and_not_the_mean_recall():
    predicted, true = torch.tensor([0] * 9 + [1]), torch.tensor([0] * 8 + [1, 1])
    matrix = confusion_matrix(predicted, true, num_classes=3)
    assert accuracy(matrix) == 0.9 == reference.accuracy_score(true, predicted)
    assert metric("accuracy", "multiclass")(torch.eye(3)[predicted], true) == 0.9
    assert Confusion(3, scores="classes").update(predicted, true).compute()["accuracy"].value == 0.9


def test_infinite_scores_and_zeros_of_both_signs_are_ranked():
    s, y = torch.tensor([-math.inf, -0.0, 0.0, 1.0, math.inf, math.inf]), torch.tensor([0, 1, 0, 1, 1, 0])
    finite = torch.tensor([-9.0, 0.0, 0.0, 1.0, 9.0, 9.0])
    expected = reference.roc_auc_score(y, finite)
    for streamed in (Ranking(), ExactRanking()):
        found = streamed.update(s, y).compute()
        assert found["auc"].value == pytest.approx(expected, abs=1e-12)
        assert found["average_precision"].value == pytest.approx(
            reference.average_precision_score(y, finite), abs=1e-12
        )
    assert average_precision(s, y) == pytest.approx(reference.average_precision_score(y, finite), abs=1e-12)


def test_a_regression_far_from_0_keeps_its_digits():
    generator = torch.Generator().manual_seed(0)
    true = 1e4 + torch.randn(1000, generator=generator)
    predicted = true + 0.5 * torch.randn(1000, generator=generator)
    streamed = Regression()
    for a, b in zip(predicted.split(64), true.split(64), strict=True):
        streamed.update(a, b)
    expected = reference.r2_score(true.double(), predicted.double())
    assert streamed.compute()["r2"].value == pytest.approx(expected, abs=1e-12)


def test_a_mean_is_over_rows_and_not_over_batches():
    losses = LogLoss()
    logits, true = torch.randn(10, 5, generator=torch.Generator().manual_seed(0)).double(), torch.arange(10) % 5
    for rows in (slice(0, 9), slice(9, 10)):
        losses.update(logits[rows], true[rows])
    expected = reference.log_loss(true, logits.softmax(1).numpy(), labels=range(5))
    assert losses.compute()["perplexity"].value == pytest.approx(math.exp(expected), rel=1e-12)

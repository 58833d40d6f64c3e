import math

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics import LogLoss, brier_score, calibration_error, log_loss, perplexity
from thalweg.parts.metrics.calibration import reliability
from thalweg.parts.metrics.probability import log_losses


@pytest.fixture
def binary():
    generator = torch.Generator().manual_seed(1)
    true = torch.randint(2, (150,), generator=generator)
    return torch.randn(150, generator=generator) + 2 * true - 1, true


@pytest.fixture
def multiclass():
    generator = torch.Generator().manual_seed(2)
    true = torch.randint(3, (150,), generator=generator)  # class 3 has no rows
    return torch.randn(150, 4, generator=generator) + 2 * torch.nn.functional.one_hot(true, 4), true


def test_binary_agrees_with_scikit_learn_in_every_form_of_output(binary):
    logit, true = binary
    p = logit.double().sigmoid()
    loss, brier = reference.log_loss(true, p), reference.brier_score_loss(true, p)
    pair = torch.stack([torch.ones(150), logit + 1], 1)
    for output in (logit, logit[:, None], pair):
        for target in (true, true.float(), true.bool(), true[:, None].float()):
            assert log_loss(output, target, kind="binary") == pytest.approx(loss, rel=1e-6)
            assert brier_score(output, target, kind="binary") == pytest.approx(brier, rel=1e-6)
    for output in (p, p[:, None], torch.stack([1 - p, p], 1)):
        assert log_loss(output, true, kind="binary", scores="probabilities") == pytest.approx(loss, abs=1e-12)
        assert brier_score(output, true, kind="binary", scores="probabilities") == pytest.approx(brier, abs=1e-12)


def test_multiclass_agrees_with_scikit_learn(multiclass):
    logits, true = multiclass
    p = logits.double().softmax(1)
    for output, scores in ((logits, "logits"), (p, "probabilities")):
        expected = reference.log_loss(true, p.numpy(), labels=range(4))
        assert log_loss(output, true, kind="multiclass", scores=scores) == pytest.approx(expected, abs=1e-12)
        expected = reference.brier_score_loss(true, p.numpy(), labels=range(4))
        assert brier_score(output, true, kind="multiclass", scores=scores) == pytest.approx(expected, abs=1e-12)


def test_log_loss_of_logits_is_exact_where_probabilities_round():
    assert log_loss(torch.tensor([-800.0]), torch.tensor([1]), kind="binary") == 800.0
    assert log_loss(torch.tensor([60.0]), torch.tensor([1]), kind="binary") == pytest.approx(math.exp(-60), rel=1e-12)
    two = torch.tensor([[800.0, 0.0, 0.0]])
    assert log_loss(two, torch.tensor([1]), kind="multiclass") == 800.0


def test_probability_zero_of_the_true_class_is_an_infinite_loss():
    assert (
        log_losses(torch.tensor([0.0, 0.5]), torch.tensor([1, 1]), kind="binary", scores="probabilities")[0] == math.inf
    )


def test_what_is_no_probability_is_refused():
    with pytest.raises(DataError, match=r'received 1\.5\. If these are logits, give scores="logits"'):
        log_loss(torch.tensor([0.2, 1.5]), torch.tensor([0, 1]), kind="binary", scores="probabilities")
    with pytest.raises(DataError, match=r"sums to 0\.7"):
        log_loss(
            torch.tensor([[0.2, 0.5], [0.5, 0.5]]), torch.tensor([0, 1]), kind="multiclass", scores="probabilities"
        )
    with pytest.raises(UsageError, match=r"'logits' or 'probabilities'; received 'logit'. Did you mean 'logits'"):
        log_loss(torch.tensor([0.2]), torch.tensor([0]), kind="binary", scores="logit")
    with pytest.raises(DataError, match="two infinite logits"):
        log_loss(torch.tensor([[math.inf, math.inf, 0.0]]), torch.tensor([0]), kind="multiclass")


def test_calibration_error_agrees_with_a_loop_over_equal_bins(binary):
    logit, true = binary
    p, y = logit.double().sigmoid().numpy(), true.numpy()
    order = np.argsort(p)
    expected = sum(abs(y[part].mean() - p[part].mean()) * len(part) for part in np.array_split(order, 15)) / 150
    assert calibration_error(logit, true, kind="binary") == pytest.approx(expected, abs=1e-12)


def test_calibration_of_several_classes_judges_the_chosen_class(multiclass):
    logits, true = multiclass
    p = logits.double().softmax(1)
    table = reliability(logits, true, kind="multiclass", bins=1)
    assert table.count.tolist() == [150]
    assert float(table.predicted) == pytest.approx(float(p.max(1).values.mean()), abs=1e-14)
    assert float(table.observed) == pytest.approx(float((p.argmax(1) == true).double().mean()), abs=1e-14)


def test_equal_probabilities_share_a_bin_in_any_order_of_the_rows():
    p = torch.tensor([0.2] * 50 + [0.6] * 50 + [0.9] * 20)
    true = torch.tensor(([0, 0, 0, 0, 1] * 10) + [1, 0] * 25 + [1] * 20)
    for order in (torch.arange(120), torch.arange(120).flip(0)):
        table = reliability(p[order], true[order], kind="binary", scores="probabilities", bins=15)
        assert table.count.tolist() == [50, 50, 20]
        assert table.observed.tolist() == pytest.approx([0.2, 0.5, 1.0])
    assert calibration_error(p, true, kind="binary", scores="probabilities") == pytest.approx(
        (50 * 0.1 + 20 * 0.1) / 120
    )


def test_a_calibrated_network_has_a_small_error_and_a_sure_one_a_large():
    generator = torch.Generator().manual_seed(0)
    logit = torch.randn(20_000, generator=generator, dtype=torch.float64)
    true = (torch.rand(20_000, generator=generator, dtype=torch.float64) < logit.sigmoid()).long()
    assert calibration_error(logit, true, kind="binary") < 0.012
    exact = float(((3 * logit).sigmoid() - logit.sigmoid()).abs().mean())
    assert calibration_error(3 * logit, true, kind="binary") == pytest.approx(exact, abs=0.012)


def test_no_rows_are_nan():
    empty, none = torch.empty(0), torch.empty(0, dtype=torch.int64)
    for measure in (log_loss, brier_score, calibration_error):
        assert math.isnan(measure(empty, none, kind="binary"))
        assert math.isnan(measure(empty.reshape(0, 3), none, kind="multiclass"))


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_weights_and_perplexity_agree_with_scikit_learn(kind, binary, multiclass):
    logits, true = binary if kind == "binary" else multiclass
    weight = torch.rand(150, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weight[3] = 0
    p = logits.double().sigmoid() if kind == "binary" else logits.double().softmax(1)
    named = {"sample_weight": weight.numpy(), "labels": [0, 1] if kind == "binary" else range(4)}
    loss, brier = reference.log_loss(true, p.numpy(), **named), reference.brier_score_loss(true, p.numpy(), **named)
    assert log_loss(logits, true, kind=kind, weight=weight) == pytest.approx(loss, abs=1e-12)
    assert brier_score(logits, true, kind=kind, weight=weight) == pytest.approx(brier, abs=1e-12)
    assert perplexity(logits, true, kind=kind, weight=weight) == pytest.approx(math.exp(loss), rel=1e-12)
    streamed = (
        LogLoss().update(logits[:70], true[:70], weight[:70]).update(logits[70:], true[70:], weight[70:]).compute()
    )
    assert streamed["log_loss"].value == pytest.approx(loss, abs=1e-12)
    assert streamed["brier"].value == pytest.approx(brier, abs=1e-12)
    streamed = LogLoss(scores="probabilities").update(p, true, weight).compute()
    assert streamed["log_loss"].value == pytest.approx(loss, abs=1e-12)
    assert streamed["brier"].value == pytest.approx(brier, abs=1e-12)


@pytest.mark.parametrize("weight", [torch.ones(149), -torch.ones(150), torch.full((150,), math.nan)])
def test_weights_that_are_none_are_refused(binary, weight):
    with pytest.raises(DataError, match=r"weight (for each|of a row)"):
        log_loss(*binary, kind="binary", weight=weight)


def test_an_infinite_loss_is_infinite_when_streamed_too():
    p, true = torch.tensor([[0.0, 1.0], [0.5, 0.5]]), torch.tensor([0, 1])
    found = LogLoss(scores="probabilities").update(p, true).compute()
    assert found["log_loss"].value == found["perplexity"].value == math.inf
    assert LogLoss(scores="probabilities").update(p, true, torch.tensor([0.0, 1.0])).compute()["log_loss"].value == (
        pytest.approx(math.log(2))
    )
    with pytest.raises(DataError, match="no probability"):
        LogLoss(scores="probabilities").update(p * 0.9, true).compute()


def test_positions_in_both_layouts_and_large_outputs_in_blocks():
    generator = torch.Generator().manual_seed(0)
    logits, true = torch.randn(4, 9, 700, generator=generator), torch.randint(700, (4, 9), generator=generator)
    true[0, :5] = -100
    expected = float(torch.nn.functional.cross_entropy(logits.double().transpose(1, 2), true))
    for output in (logits, logits.transpose(1, 2)):
        found = LogLoss(ignore_index=-100).update(output, true).compute()["log_loss"]
        assert found.value == pytest.approx(expected, rel=1e-12)
        assert found.support == 31
    many = torch.randn(4000, 700, generator=generator)  # more than a block
    rows = torch.randint(700, (4000,), generator=generator)
    expected = float(torch.nn.functional.cross_entropy(many.double(), rows))
    assert LogLoss().update(many, rows).compute()["log_loss"].value == pytest.approx(expected, rel=1e-12)

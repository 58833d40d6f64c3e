import math

import pytest
import torch
from sklearn import metrics as reference

from thalweg.errors import DataError, UsageError
from thalweg.evaluate.measures import evaluate_outputs


@pytest.fixture
def binary():
    generator = torch.Generator().manual_seed(0)
    true = (torch.rand(300, generator=generator) < 0.3).long()
    return torch.randn(300, generator=generator, dtype=torch.float64) + 2 * true - 1.5, true


@pytest.fixture
def multiclass():
    generator = torch.Generator().manual_seed(1)
    true = torch.randint(4, (200,), generator=generator)
    return torch.randn(200, 4, generator=generator, dtype=torch.float64) + 2 * torch.eye(4)[true], true


def test_binary_values_agree_with_scikit_learn_in_every_form_of_output_and_target(binary):
    logit, true = binary
    p, hard = logit.sigmoid(), (logit > 0).long()
    expected = {
        "accuracy": reference.accuracy_score(true, hard),
        "balanced_accuracy": reference.balanced_accuracy_score(true, hard),
        "precision": reference.precision_score(true, hard),
        "recall": reference.recall_score(true, hard),
        "f1": reference.f1_score(true, hard),
        "auc": reference.roc_auc_score(true, p),
        "average_precision": reference.average_precision_score(true, p),
        "log_loss": reference.log_loss(true, p),
        "brier": reference.brier_score_loss(true, p),
    }
    forms = [(logit, "logits"), (logit[:, None], "logits"), (torch.stack([-logit / 2, logit / 2], 1), "logits")]
    forms += [(p, "probabilities"), (torch.stack([1 - p, p], 1), "probabilities")]
    for output, scores in forms:
        for target in (true, true.float(), true[:, None].double(), true.bool()):
            result = evaluate_outputs(output, target, kind="binary", scores=scores, replicates=20)
            found = {m.name: m.value for m in result.measures}
            assert found.pop("calibration_error") == pytest.approx(result["calibration_error"].value)
            assert found == pytest.approx(expected, abs=1e-12)
            assert result.confusion == tuple(map(tuple, reference.confusion_matrix(true, hard).tolist()))
    assert result.count == 300
    assert result.threshold.chosen_on == "default"


def test_multiclass_values_agree_with_scikit_learn(multiclass):
    logits, true = multiclass
    p, hard = logits.softmax(1), logits.argmax(1)
    result = evaluate_outputs(logits, true, kind="multiclass", classes=["a", "b", "c", "d"], replicates=20)
    expected = {
        "accuracy": reference.accuracy_score(true, hard),
        "balanced_accuracy": reference.balanced_accuracy_score(true, hard),
        "precision": reference.precision_score(true, hard, average="macro"),
        "recall": reference.recall_score(true, hard, average="macro"),
        "f1": reference.f1_score(true, hard, average="macro"),
        "auc": reference.roc_auc_score(true, p.numpy(), multi_class="ovr"),
        "log_loss": reference.log_loss(true, p.numpy()),
        "brier": reference.brier_score_loss(true, p.numpy(), labels=range(4)),
    }
    by_probability = evaluate_outputs(p, true, kind="multiclass", scores="probabilities", replicates=20)
    for each in (result, by_probability):
        assert {m.name: m.value for m in each.measures if m.name in expected} == pytest.approx(expected, abs=1e-12)
    report = reference.classification_report(true, hard, target_names=["a", "b", "c", "d"], output_dict=True)
    for row in result.per_class:
        found = (row.precision.value, row.recall.value, row.f1.value, row.support)
        one = report[row.name]
        assert found == pytest.approx((one["precision"], one["recall"], one["f1-score"], one["support"]))
    assert {(c.name, c.label) for c in result.curves} >= {("roc", "a"), ("precision_recall", "d"), ("reliability", "")}


def test_every_interval_holds_its_value_and_names_its_method(binary, multiclass):
    generator = torch.Generator().manual_seed(2)
    true = torch.randn(100, 2, generator=generator, dtype=torch.float64)
    results = [
        evaluate_outputs(*binary, kind="binary"),
        evaluate_outputs(*multiclass, kind="multiclass"),
        evaluate_outputs(true[:, 0] + 0.3 * true[:, 1], true[:, 0], kind="regression"),
        evaluate_outputs(true + 0.3 * true.flip(1), true, kind="regression"),
    ]
    for result in results:
        of_classes = [m for row in result.per_class for m in (row.precision, row.recall, row.f1)]
        for found in (*result.measures, *of_classes):
            assert found.low < found.value < found.high, found
            assert found.method


def test_regression_values_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(3)
    true = 100 + torch.randn(80, 3, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 10.0, 100.0])
    output = true + torch.randn(80, 3, generator=generator, dtype=torch.float64)
    for columns in (slice(0, 3), slice(0, 1), 1):
        result = evaluate_outputs(output[:, columns], true[:, columns], kind="regression", replicates=50)
        args = true[:, columns].numpy(), output[:, columns].numpy()
        expected = {
            "r2": reference.r2_score(*args),
            "rmse": reference.root_mean_squared_error(*args),
            "mae": reference.mean_absolute_error(*args),
        }
        assert {m.name: m.value for m in result.measures} == pytest.approx(expected, rel=1e-10)
        note = evaluate_outputs(output, true, kind="regression", replicates=20)["rmse"].note
        assert note == "mean over 3 targets, each in its own unit"


def test_one_class_in_the_test_set_is_undefined_with_the_reason(binary):
    result = evaluate_outputs(binary[0], torch.zeros(300), kind="binary", replicates=20)
    for name in ("balanced_accuracy", "auc", "average_precision", "recall", "f1"):
        found = result[name]
        assert math.isnan(found.value)
        assert (found.low, found.high) == (None, None)
        assert found.note.startswith("undefined: ")
    assert "one class" in result["auc"].note
    assert result["accuracy"].low < result["accuracy"].value
    assert [c.name for c in result.curves] == ["reliability"]


def test_classes_without_rows_are_named_and_left_out(multiclass):
    logits, true = multiclass
    rows = true != 2
    result = evaluate_outputs(logits[rows], true[rows], kind="multiclass", replicates=20)
    assert result["balanced_accuracy"].note == "classes without rows, left out: 1 of 4"
    absent = result.per_class[2]
    assert absent.support == 0
    assert math.isnan(absent.recall.value)
    assert absent.recall.note == "undefined: no row is of this class"
    assert {c.label for c in result.curves if c.name == "roc"} == {"0", "1", "3"}


def test_a_class_never_predicted_counts_as_zero_and_is_told():
    logits = torch.tensor([[2.0, 0.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 3.0], [0.0, 1.0, 3.0]])
    result = evaluate_outputs(logits, torch.tensor([0, 1, 2, 2]), kind="multiclass", replicates=20)
    assert result["precision"].value == pytest.approx((0.5 + 0 + 1) / 3)
    assert result["precision"].note == "classes never predicted, counted as 0: 1"
    assert result.per_class[1].precision.note == "undefined: this class was never predicted"
    assert result["precision"].high <= 2 / 3


@pytest.mark.parametrize("logit", [-2.0, 3.0])
@pytest.mark.parametrize("label", [0, 1])
def test_one_row(logit, label):
    result = evaluate_outputs(torch.tensor([logit]), torch.tensor([label]), kind="binary")
    assert result["accuracy"].value == float((logit > 0) == label)
    assert result["accuracy"].high - result["accuracy"].low > 0.7
    assert result["log_loss"].low is None
    assert result["log_loss"].note == "no interval: there is one row"
    several = evaluate_outputs(torch.tensor([[logit, 0.0, 0.0]]), torch.tensor([label]), kind="multiclass")
    assert math.isnan(several["auc"].value)
    number = evaluate_outputs(torch.tensor([logit]), torch.tensor([1.0]), kind="regression")
    assert number["r2"].note == "undefined: one row has no variance"
    assert number["rmse"].value == abs(logit - 1)
    assert number["rmse"].low is None


def test_constant_outputs(binary, multiclass):
    result = evaluate_outputs(torch.zeros(300), binary[1], kind="binary", replicates=50)
    share = float(binary[1].double().mean())
    assert result["auc"].value == 0.5
    assert result["auc"].low < 0.5 < result["auc"].high
    assert result["auc"].note == "all scores are equal"
    assert result["average_precision"].value == pytest.approx(share)
    assert math.isnan(result["precision"].value)
    assert result["log_loss"].value == pytest.approx(math.log(2))
    assert result["log_loss"].note == "no interval: the rows do not vary"
    result = evaluate_outputs(torch.zeros(200, 4), multiclass[1], kind="multiclass", replicates=50)
    assert result["auc"].value == 0.5
    assert result["log_loss"].value == pytest.approx(math.log(4))
    true = torch.randn(50, generator=torch.Generator().manual_seed(0))
    result = evaluate_outputs(torch.zeros(50), true, kind="regression", replicates=50)
    assert result["r2"].value == pytest.approx(-(true.mean() ** 2 / true.var(correction=0)).item(), rel=1e-5)
    constant = evaluate_outputs(true, torch.ones(50), kind="regression", replicates=50)
    assert constant["r2"].note == "undefined: the target does not vary"
    assert constant["rmse"].low < constant["rmse"].value


def test_perfection_is_not_certain():
    true = torch.tensor([0, 1] * 25)
    result = evaluate_outputs(10.0 * true - 5, true, kind="binary", replicates=50)
    for name in ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc", "average_precision"):
        assert (result[name].value, result[name].high) == (1.0, 1.0), name
        assert 0.75 < result[name].low < 0.99, name
    true = torch.arange(60) % 3
    result = evaluate_outputs(9 * torch.eye(3)[true], true, kind="multiclass", replicates=50)
    for name in ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc"):
        assert (result[name].value, result[name].high) == (1.0, 1.0), name
        assert 0.75 < result[name].low < 0.99, name


def test_logits_of_any_size_stay_exact():
    logit = torch.tensor([500.0, 510.0, 520.0, 530.0, -900.0, 505.0])
    true = torch.tensor([0, 1, 1, 1, 0, 0])
    result = evaluate_outputs(logit, true, kind="binary", replicates=20)
    assert result["auc"].value == 1.0
    assert result["log_loss"].value == pytest.approx((500 + 505) / 6)


def test_probability_zero_of_a_true_class_is_infinite_and_told():
    p = torch.tensor([0.0, 0.4, 0.9, 0.2])
    found = evaluate_outputs(p, torch.tensor([1, 0, 1, 0]), kind="binary", scores="probabilities")["log_loss"]
    assert found.value == math.inf
    assert found.note == "rows that gave probability 0 to the true class: 1"


def test_outputs_of_a_network_in_half_precision_with_a_graph(multiclass):
    logits, true = multiclass
    half = logits.to(torch.bfloat16).requires_grad_()
    result = evaluate_outputs(half, true, kind="multiclass", replicates=20)
    assert result["accuracy"].value == pytest.approx(float((half.argmax(1) == true).double().mean()))


def test_without_gradients_and_in_inference_mode_the_result_is_the_same(binary):
    logit, true = binary
    expected = evaluate_outputs(logit, true, kind="binary", replicates=50)
    with torch.no_grad():
        assert evaluate_outputs(logit, true, kind="binary", replicates=50) == expected
    with torch.inference_mode():
        inside = logit * 1.0
        assert evaluate_outputs(inside, true, kind="binary", replicates=50) == expected
    assert evaluate_outputs(inside, true, kind="binary", replicates=50) == expected
    with torch.device("meta"):
        assert evaluate_outputs(logit, true, kind="binary", replicates=50) == expected


@pytest.mark.parametrize("rows", [2, 3, 4, 6])
def test_the_smallest_test_sets_have_ordered_limits(rows):
    generator = torch.Generator().manual_seed(rows)
    for _ in range(30):
        true = torch.randn(rows, generator=generator, dtype=torch.float64)
        result = evaluate_outputs(
            true + torch.randn(rows, generator=generator), true, kind="regression", replicates=100
        )
        for found in result.measures:
            assert found.low is None or found.low <= found.value <= found.high, found
    assert "only" in result["r2"].note or "no interval" in result["r2"].note


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_nan_no_rows_and_other_lengths_are_refused(kind):
    output = torch.randn(6, 3) if kind == "multiclass" else torch.randn(6)
    target = torch.tensor([0, 1, 0, 1, 0, 1])
    with pytest.raises(DataError, match="The training has diverged or an input is NaN"):
        evaluate_outputs(torch.full_like(output, math.nan), target, kind=kind)
    with pytest.raises(DataError, match="There are no rows to measure"):
        evaluate_outputs(output[:0], target[:0], kind=kind)
    with pytest.raises(DataError, match="both need the same number of rows"):
        evaluate_outputs(output, target[:5], kind=kind)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match=r"kind is .*; received 'multi_class'. Did you mean 'multiclass'"):
        evaluate_outputs(torch.zeros(2, 3), torch.zeros(2), kind="multi_class")
    with pytest.raises(DataError, match=r"needs outputs \[N\], \[N, 1\] or \[N, 2\]; received \[2, 3\]"):
        evaluate_outputs(torch.zeros(2, 3), torch.zeros(2), kind="binary")
    with pytest.raises(DataError, match=r"needs outputs \[N, classes\]; received \[2\]"):
        evaluate_outputs(torch.zeros(2), torch.zeros(2), kind="multiclass")
    with pytest.raises(DataError, match="from 0 to 2; received 3 in row 1"):
        evaluate_outputs(torch.zeros(2, 3), torch.tensor([0, 3]), kind="multiclass")
    with pytest.raises(UsageError, match="has 3 classes; received 2 names"):
        evaluate_outputs(torch.zeros(2, 3), torch.tensor([0, 1]), kind="multiclass", classes=["a", "b"])
    with pytest.raises(DataError, match="infinite"):
        evaluate_outputs(torch.tensor([math.inf, 1.0]), torch.zeros(2), kind="regression")

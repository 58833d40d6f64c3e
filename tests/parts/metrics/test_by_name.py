import math

import pytest
import torch
from sklearn import metrics as reference

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics import SHOWN, calibration_error, metric, metric_forms, metric_names

KINDS = ("binary", "multiclass", "regression")
ALL_KINDS = (*KINDS, "multilabel", "per_position")
ASKED = {
    "binary": {"accuracy", "balanced_accuracy", "f1", "precision", "recall", "auc", "average_precision", "log_loss"},
    "multiclass": {
        "accuracy",
        "balanced_accuracy",
        "f1",
        "precision",
        "recall",
        "auc",
        "average_precision",
        "log_loss",
    },
    "regression": {"r2", "rmse", "mae"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_that_is_promised_is_found(kind):
    assert ASKED[kind] <= set(metric_names(kind))
    assert set(SHOWN[kind]) <= set(metric_names(kind))


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(3)
    true = torch.randint(2, (80,), generator=generator)
    return torch.randn(80, generator=generator, dtype=torch.float64) + true - 0.5, true


def test_binary_metrics_agree_with_scikit_learn_in_every_form(rows):
    logit, true = rows
    p, hard = logit.sigmoid(), (logit > 0).long()
    expected = {
        "accuracy": reference.accuracy_score(true, hard),
        "balanced_accuracy": reference.balanced_accuracy_score(true, hard),
        "f1": reference.f1_score(true, hard),
        "precision": reference.precision_score(true, hard),
        "recall": reference.recall_score(true, hard),
        "auc": reference.roc_auc_score(true, p),
        "average_precision": reference.average_precision_score(true, p),
        "log_loss": reference.log_loss(true, p),
        "brier": reference.brier_score_loss(true, p),
        "specificity": reference.recall_score(true, hard, pos_label=0),
        "mcc": reference.matthews_corrcoef(true, hard),
        "kappa": reference.cohen_kappa_score(true, hard),
        "calibration_error": calibration_error(logit, true, kind="binary"),
    }
    assert set(expected) == set(metric_names("binary"))
    expected["f2"] = reference.fbeta_score(true, hard, beta=2)
    expected["f0.5"] = reference.fbeta_score(true, hard, beta=0.5)
    expected["partial_auc_0.2"] = reference.roc_auc_score(true, p, max_fpr=0.2)
    for name, value in expected.items():
        found = metric(name, "binary")
        for output in (logit, logit[:, None], torch.stack([-logit / 2, logit / 2], 1), logit.clone().requires_grad_()):
            for target in (true, true.float(), true.double()[:, None]):
                assert found(output, target) == pytest.approx(value, abs=1e-12), name


def test_better_is_marked():
    lower = {name for kind in ALL_KINDS for name in metric_names(kind) if not metric(name, kind).higher_is_better}
    errors = {"rmse", "mae", "mse", "median_absolute_error", "hamming_loss", "calibration_error"}
    assert lower == {"log_loss", "brier", "perplexity", *errors}
    assert not metric("quantile_0.9", "regression").higher_is_better


def test_multiclass_precision_is_the_mean_over_classes():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])
    true = torch.tensor([0, 1, 0, 2])
    assert metric("precision", "multiclass")(logits, true) == pytest.approx((1 + 0.5 + 1) / 3)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"no metric 'acuracy'. Did you mean 'accuracy'\? Its metrics are: accuracy, "):
        metric("acuracy", "binary")
    with pytest.raises(UsageError, match="A multiclass task has no metric 'r2'"):
        metric("r2", "multiclass")
    with pytest.raises(
        UsageError, match=r"no metric 'top_k_accuracy'. Did you mean 'top_5_accuracy'.*With any number: f0.5"
    ):
        metric("top_k_accuracy", "multiclass")
    with pytest.raises(UsageError, match=r"no metric 'tpr_at_fpr'. Did you mean 'tpr_at_fpr_0.01'"):
        metric("tpr_at_fpr", "binary")
    with pytest.raises(UsageError, match=r"kind is 'binary' or .* Did you mean 'regression'"):
        metric("r2", "regresion")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("auc", "all rows are of one class, so there is nothing to rank"),
        ("recall", "no row is of this class"),
        ("precision", "this class was never predicted"),
        ("balanced_accuracy", "all rows are of one class"),
    ],
)
def test_undefined_is_nan_with_a_reason(name, reason):
    output, target = torch.tensor([-1.0, -2.0]), torch.tensor([0, 0])
    found = metric(name, "binary")
    assert math.isnan(found(output, target))
    assert found.why_undefined(output, target) == reason


@pytest.mark.parametrize("kind", KINDS)
def test_nan_outputs_are_an_error_for_every_metric(kind):
    output = torch.full((4, 3), math.nan) if kind == "multiclass" else torch.full((4,), math.nan)
    for name in metric_names(kind):
        with pytest.raises(DataError, match="NaN among"):
            metric(name, kind)(output, torch.tensor([0, 1, 0, 1]))


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_form_with_another_number_is_found_under_its_own_name(kind):
    for example in metric_forms(kind):
        assert metric(example, kind).name == example
        other = example.replace("0.01", "0.2").replace("0.9", "0.75").replace("_5_", "_3_").replace("f2", "f1.5")
        assert metric(other, kind).name == other
    for name, word in (("f0", "above 0"), ("quantile_1", "between 0 and 1"), ("micro_f0", "above 0")):
        for one in ALL_KINDS:
            if any(example[0] == name[0] for example in metric_forms(one)):
                with pytest.raises(UsageError, match=f"{word}; received|no metric"):
                    metric(name, one)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_what_is_added_up_over_batches_is_the_whole(kind):
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(4, (60,), generator=generator)
    output = torch.randn(60, 7, 4, generator=generator)
    rows = {
        "binary": (output[:, 0, 0], true % 2),
        "multiclass": (output[:, 0], true),
        "multilabel": (output[:, 0], (output[:, 1] > 0.5).long()),
        "per_position": (output, torch.randint(4, (60, 7), generator=generator)),
        "regression": (output[:, 0], output[:, 1]),
    }[kind]
    for name in (*metric_names(kind), *(form.replace("_5_", "_2_") for form in metric_forms(kind))):
        found = metric(name, kind)
        assert not found.why_undefined(*rows)
        assert found.explain(*rows).value == found(*rows)
        if found.partial is not None:
            parts = zip(*(t.split(7) for t in rows), strict=True)
            assert found.merge(sum(found.partial(*part) for part in parts)) == pytest.approx(found(*rows), rel=1e-12)


def test_several_averages_of_a_multiclass_task():
    generator = torch.Generator().manual_seed(1)
    true = torch.randint(4, (100,), generator=generator)
    logits = torch.randn(100, 4, generator=generator) + torch.nn.functional.one_hot(true, 4)
    hard = logits.argmax(1)
    for average in ("macro", "micro", "weighted"):
        for name, score in (("f1", reference.f1_score), ("precision", reference.precision_score)):
            found = metric(f"{average}_{name}", "multiclass")(logits, true)
            assert found == pytest.approx(score(true, hard, average=average), abs=1e-12)
        expected = reference.fbeta_score(true, hard, beta=0.5, average=average)
        assert metric(f"{average}_f0.5", "multiclass")(logits, true) == pytest.approx(expected, abs=1e-12)
    assert metric("f2", "multiclass")(logits, true) == pytest.approx(
        reference.fbeta_score(true, hard, beta=2, average="macro"), abs=1e-12
    )
    expected = reference.cohen_kappa_score(true, hard, weights="quadratic")
    assert metric("quadratic_kappa", "multiclass")(logits, true) == pytest.approx(expected, abs=1e-12)


def test_a_function_of_ones_own_is_a_metric():
    def hits(output, target):
        return (output.argmax(1) == target).float().mean()

    found = metric(hits, "multiclass")
    assert (found.name, found.higher_is_better) == ("hits", True)
    value = found(torch.eye(3), torch.tensor([0, 1, 1]))
    assert isinstance(value, float)
    assert value == pytest.approx(2 / 3)
    with pytest.raises(UsageError, match="'per_row' must return one number; received Tensor"):
        metric(per_row, "regression")(torch.zeros(3), torch.zeros(3))


def per_row(output, target):
    return output - target

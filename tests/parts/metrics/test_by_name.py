import math

import pytest
import torch
from sklearn import metrics as reference

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics import SHOWN, metric, metric_names

KINDS = ("binary", "multiclass", "regression")
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
    }
    assert set(expected) == set(metric_names("binary"))
    for name, value in expected.items():
        found = metric(name, "binary")
        for output in (logit, logit[:, None], torch.stack([-logit / 2, logit / 2], 1), logit.clone().requires_grad_()):
            for target in (true, true.float(), true.double()[:, None]):
                assert found(output, target) == pytest.approx(value, abs=1e-12), name


def test_better_is_marked():
    lower = {name for kind in KINDS for name in metric_names(kind) if not metric(name, kind).higher_is_better}
    assert lower == {"log_loss", "brier", "rmse", "mae", "mse"}


def test_multiclass_precision_is_the_mean_over_classes():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])
    true = torch.tensor([0, 1, 0, 2])
    assert metric("precision", "multiclass")(logits, true) == pytest.approx((1 + 0.5 + 1) / 3)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"no metric 'acuracy'. Did you mean 'accuracy'\? Its metrics are: accuracy, "):
        metric("acuracy", "binary")
    with pytest.raises(UsageError, match="A multiclass task has no metric 'r2'"):
        metric("r2", "multiclass")
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

"""`measure` of label sets: values against scikit-learn, intervals that hold, what is undefined, JSON."""

import math

import pytest
import torch
from sklearn import metrics as sk

from thalweg.errors import UsageError
from thalweg.evaluate.measures import evaluate_outputs
from thalweg.evaluate.result import Result
from thalweg.evaluate.threshold import choose_common_threshold


def rows(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and labels of rows whose labels depend on each other through one hidden number."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(count, 1, generator=generator)
    target = (hidden + torch.randn(count, 4, generator=generator) > torch.tensor([0.0, 0.5, 1.0, 1.5])).long()
    output = 2 * target - 1 + 1.5 * torch.randn(count, 4, generator=generator) + 0.5 * hidden
    return output, target


OUTPUT, TARGET = rows(400)
RESULT = evaluate_outputs(OUTPUT, TARGET, kind="multilabel", classes=("rain", "snow", "fog", "storm"))


def test_values_are_scikit_learns() -> None:
    called, scores, true = (OUTPUT > 0).numpy(), OUTPUT.numpy(), TARGET.numpy()
    expected = {
        "micro_f1": sk.f1_score(true, called, average="micro"),
        "macro_f1": sk.f1_score(true, called, average="macro"),
        "subset_accuracy": sk.accuracy_score(true, called),
        "label_accuracy": 1 - sk.hamming_loss(true, called),
        "macro_average_precision": sk.average_precision_score(true, scores, average="macro"),
        "macro_auc": sk.roc_auc_score(true, scores, average="macro"),
        "log_loss": float(torch.nn.functional.binary_cross_entropy_with_logits(OUTPUT, TARGET.float())),
    }
    assert {m.name: m.value for m in RESULT.measures} == pytest.approx(expected, rel=1e-6)
    for found in RESULT.measures:
        assert found.low < found.value < found.high


def test_each_label_has_a_row_of_measures() -> None:
    assert [row.name for row in RESULT.per_class] == ["rain", "snow", "fog", "storm"]
    row, true, called = RESULT.per_class[2], TARGET[:, 2], OUTPUT[:, 2] > 0
    assert row.support == int(true.sum())
    assert row.precision.value == pytest.approx(sk.precision_score(true, called))
    assert row.recall.value == pytest.approx(sk.recall_score(true, called))
    assert row.f1.value == pytest.approx(sk.f1_score(true, called))
    assert row.auc.value == pytest.approx(sk.roc_auc_score(true, OUTPUT[:, 2]))
    assert row.average_precision.value == pytest.approx(sk.average_precision_score(true, OUTPUT[:, 2]))


def test_it_survives_json() -> None:
    again = Result.from_json(RESULT.to_json())
    assert (again.measures, again.per_class, again.curves) == (RESULT.measures, RESULT.per_class, RESULT.curves)
    assert again.to_json() == RESULT.to_json()


def test_a_label_without_rows_is_undefined_with_a_reason_and_left_out_of_means() -> None:
    target = TARGET.clone()
    target[:, 3] = 0
    result = evaluate_outputs(OUTPUT, target, kind="multilabel", replicates=100)
    row = result.per_class[3]
    for found in (row.recall, row.f1, row.average_precision, row.auc):
        assert math.isnan(found.value)
        assert found.note == "undefined: no row has this label"
    assert row.precision.value == 0, "it was called, and never rightly"
    for name in ("macro_f1", "macro_auc", "macro_average_precision"):
        assert "left out: 1 of 4" in result[name].note
    assert result["macro_f1"].value == pytest.approx(sk.f1_score(target[:, :3], OUTPUT[:, :3] > 0, average="macro"))
    assert str(Result.from_json(result.to_json())) == str(result)


def test_rows_without_any_label_measure_little() -> None:
    result = evaluate_outputs(OUTPUT, torch.zeros_like(TARGET), kind="multilabel", replicates=100)
    assert math.isnan(result["micro_f1"].value)
    assert result["micro_f1"].note == "undefined: no row has any label"
    assert result["subset_accuracy"].value < 1


def test_a_perfect_network_is_not_proven_perfect() -> None:
    result = evaluate_outputs(20.0 * (2 * TARGET[:40] - 1), TARGET[:40], kind="multilabel", replicates=200)
    for name in ("micro_f1", "macro_f1", "subset_accuracy", "label_accuracy", "macro_average_precision", "macro_auc"):
        assert result[name].value == 1
        assert result[name].low < 0.99


def test_intervals_hold_the_truth_although_labels_depend_on_each_other() -> None:
    truth = evaluate_outputs(*rows(200_000, seed=1), kind="multilabel", replicates=1)
    found = [evaluate_outputs(*rows(120, seed=s), kind="multilabel", replicates=99) for s in range(100, 140)]
    for name in ("micro_f1", "macro_f1", "subset_accuracy", "label_accuracy", "macro_auc", "macro_average_precision"):
        held = sum(m[name].low <= truth[name].value <= m[name].high for m in found)
        assert held >= 34, name  # of 40; with a coverage of 0.95 fewer come by chance once in 300


def test_the_common_threshold_has_the_best_micro_f1() -> None:
    chosen = choose_common_threshold(OUTPUT, TARGET)
    best = max(sk.f1_score(TARGET, cut < OUTPUT, average="micro") for cut in OUTPUT.flatten().tolist()[::7])
    reached = sk.f1_score(TARGET, chosen.value < OUTPUT, average="micro")
    assert reached == pytest.approx(chosen.reached)
    assert reached >= best
    assert (chosen.objective, chosen.count) == ("micro_f1", 400)
    assert (
        evaluate_outputs(OUTPUT, TARGET, kind="multilabel", threshold=chosen, replicates=9)["micro_f1"].value == reached
    )


def test_names_must_be_as_many_as_labels() -> None:
    with pytest.raises(UsageError, match="4 classes; received 2 names"):
        evaluate_outputs(OUTPUT, TARGET, kind="multilabel", classes=("a", "b"))

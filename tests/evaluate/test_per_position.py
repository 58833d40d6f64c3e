"""`measure` of classes per position, and of several targets: values, intervals over whole rows, JSON."""

import math

import pytest
import torch
from sklearn import metrics as sk
from torch.nn import functional as F

from thalweg.errors import UsageError
from thalweg.evaluate.measures import evaluate_outputs
from thalweg.evaluate.result import Result


def sequences(count: int, seed: int = 0, length: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and targets whose errors come in whole rows: some sequences are hard, others are easy."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 5, (count, length), generator=generator)
    skill = 3 * torch.rand(count, 1, 1, generator=generator)
    output = skill * F.one_hot(target, 5) + torch.randn(count, length, 5, generator=generator)
    target[:, length // 2 :][torch.rand(count, length - length // 2, generator=generator) < 0.3] = -100
    return output, target


OUTPUT, TARGET = sequences(200)
RESULT = evaluate_outputs(OUTPUT, TARGET, kind="per_position")


def test_values_count_positions() -> None:
    counted = TARGET != -100
    loss = float(F.cross_entropy(OUTPUT.double().transpose(1, 2), TARGET))
    accuracy = float((OUTPUT.argmax(-1) == TARGET)[counted].double().mean())
    assert RESULT["accuracy"].value == pytest.approx(accuracy)
    assert RESULT["log_loss"].value == pytest.approx(loss, rel=1e-6)
    assert RESULT["perplexity"].value == pytest.approx(math.exp(loss), rel=1e-6)
    assert RESULT.count == 200
    assert RESULT["accuracy"].count == int(counted.sum())
    assert f"{int(counted.sum()):,} positions" in RESULT["accuracy"].note
    assert Result.from_json(RESULT.to_json()) == RESULT


@pytest.mark.parametrize("name", ["accuracy", "perplexity"])
def test_intervals_hold_the_truth_where_errors_come_in_whole_rows(name: str) -> None:
    truth = evaluate_outputs(*sequences(20_000, seed=1), kind="per_position", replicates=1)[name].value
    found = [
        evaluate_outputs(*sequences(60, seed=s), kind="per_position", replicates=199)[name] for s in range(100, 160)
    ]
    assert sum(m.low <= truth <= m.high for m in found) >= 53
    positions = found[0].count
    naive = 1.96 * math.sqrt(0.25 / positions)
    if name == "accuracy":  # an interval over single positions would be less than half as wide, and miss
        assert sum(abs(m.value - truth) <= naive for m in found) < 50


def test_all_right_is_not_proven_perfect() -> None:
    result = evaluate_outputs(50.0 * F.one_hot(TARGET.clamp_min(0), 5), TARGET, kind="per_position")
    assert result["accuracy"].value == 1
    assert result["accuracy"].low == pytest.approx(0.981, abs=0.001)  # Wilson for 200 rows


def test_without_a_counted_position_all_is_undefined() -> None:
    result = evaluate_outputs(OUTPUT, torch.full_like(TARGET, -100), kind="per_position")
    assert math.isnan(result["accuracy"].value)
    assert result["accuracy"].note == "undefined: no position counts"


def test_each_target_of_a_regression_is_measured_in_its_unit() -> None:
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(100, 2, generator=generator) * torch.tensor([1.0, 1000.0])
    predicted = true + torch.randn(100, 2, generator=generator) * torch.tensor([0.5, 100.0])
    result = evaluate_outputs(predicted, true, kind="regression", classes=("width", "price"))
    assert result["r2"].value == pytest.approx(sk.r2_score(true, predicted))
    for k, row in enumerate(result.per_target):
        assert row.name == ("width", "price")[k]
        assert row.r2.value == pytest.approx(sk.r2_score(true[:, k], predicted[:, k]), rel=1e-6)
        assert row.rmse.value == pytest.approx(sk.root_mean_squared_error(true[:, k], predicted[:, k]), rel=1e-6)
        assert row.mae.value == pytest.approx(sk.mean_absolute_error(true[:, k], predicted[:, k]), rel=1e-6)
        assert row.rmse.low < row.rmse.value < row.rmse.high
    assert [curve.label for curve in result.curves] == ["width", "price"]
    assert Result.from_json(result.to_json()) == result
    assert evaluate_outputs(predicted[:, 0], true[:, 0], kind="regression").per_target == ()
    with pytest.raises(UsageError, match="2 targets; received 3 names"):
        evaluate_outputs(predicted, true, kind="regression", classes=("a", "b", "c"))

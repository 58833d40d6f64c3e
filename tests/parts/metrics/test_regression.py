import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics import (
    Regression,
    explained_variance,
    mae,
    median_absolute_error,
    metric,
    mse,
    quantile_loss,
    r2,
    rmse,
)
from thalweg.parts.metrics.regression import why_undefined


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 40), st.integers(1, 4), st.floats(-1e4, 1e4), st.integers(0, 10_000))
def test_agrees_with_scikit_learn_on_one_and_several_targets(rows, targets, offset, seed):
    generator = torch.Generator().manual_seed(seed)
    true = torch.randn(rows, targets, generator=generator, dtype=torch.float64) + offset
    output = true + torch.randn(rows, targets, generator=generator, dtype=torch.float64)
    for ours, theirs in (
        (mse, reference.mean_squared_error),
        (rmse, reference.root_mean_squared_error),
        (mae, reference.mean_absolute_error),
        (r2, reference.r2_score),
    ):
        assert ours(output, true) == pytest.approx(theirs(true, output), rel=1e-9, abs=1e-9)


def test_a_column_and_a_vector_are_the_same_thing():
    output, true = torch.randn(20, 1), torch.randn(20)
    for measure in (mse, rmse, mae, r2):
        assert measure(output, true) == measure(output[:, 0], true) == measure(output, true[:, None])


def test_r2_without_variance_is_nan_with_its_reason():
    assert math.isnan(r2(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 3.0])))
    assert why_undefined(torch.tensor([3.0, 3.0])) == "the target does not vary"
    two = torch.tensor([[1.0, 5.0], [2.0, 5.0]])
    assert math.isnan(r2(two, two))
    assert why_undefined(two) == "target 1 does not vary"
    assert why_undefined(torch.tensor([1.0])) == "one row has no variance"
    assert why_undefined(torch.tensor([1.0, 2.0])) == ""


def test_the_mean_explains_nothing_and_perfection_all():
    true = torch.tensor([1.0, 2.0, 6.0])
    assert r2(torch.full((3,), 3.0), true) == 0.0
    assert r2(true, true) == 1.0


def test_shapes_that_disagree_and_nan_are_refused():
    with pytest.raises(DataError, match=r"2 values per row and the target 1"):
        mse(torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(DataError, match=r"shape \[3\] and the target \[4\]"):
        mse(torch.zeros(3), torch.zeros(4))
    with pytest.raises(DataError, match="The output has 3 NaN"):
        mae(torch.full((3,), math.nan), torch.zeros(3))
    with pytest.raises(DataError, match=r"The target has 1 NaN .* Leave out the rows without a target"):
        mae(torch.zeros(2), torch.tensor([1.0, math.nan]))


def test_every_measure_is_scikit_learns_with_weights_and_several_targets():
    generator = torch.Generator().manual_seed(4)
    true = 1e3 + torch.randn(101, 3, generator=generator, dtype=torch.float64)
    predicted = true + 0.5 + torch.randn(101, 3, generator=generator, dtype=torch.float64)
    for w in (None, torch.rand(101, generator=generator, dtype=torch.float64)):
        pairs = {
            mse: reference.mean_squared_error,
            rmse: reference.root_mean_squared_error,
            mae: reference.mean_absolute_error,
            r2: reference.r2_score,
            explained_variance: reference.explained_variance_score,
        }
        for ours, theirs in pairs.items():
            assert ours(predicted, true, weight=w) == pytest.approx(theirs(true, predicted, sample_weight=w), abs=1e-12)
        for q in (0.1, 0.5, 0.9):
            expected = reference.mean_pinball_loss(true, predicted, alpha=q, sample_weight=w)
            assert quantile_loss(predicted, true, quantile=q, weight=w) == pytest.approx(expected, abs=1e-12)
            streamed = Regression(3)
            for rows in (slice(0, 40), slice(40, 101)):
                streamed.update(predicted[rows], true[rows], None if w is None else w[rows])
            assert streamed.quantile_loss(q).value == pytest.approx(expected, abs=1e-12)
    for rows in (101, 100, 2, 1):  # odd and even
        expected = reference.median_absolute_error(true[:rows], predicted[:rows])
        assert median_absolute_error(predicted[:rows], true[:rows]) == pytest.approx(expected, abs=1e-12)
    assert metric("quantile_0.9", "regression")(predicted, true) == quantile_loss(predicted, true, quantile=0.9)


def test_a_target_that_does_not_vary_is_undefined_though_its_mean_rounds():
    true, predicted = torch.full((3,), 0.1, dtype=torch.float64), torch.linspace(0, 1, 3)
    assert true.mean() != true[0]  # so that the deviations from it are not 0
    for measure in (r2, explained_variance):
        assert math.isnan(measure(predicted, true))
        assert math.isnan(measure(predicted, torch.cat([true[:2], true[:1] + 1]), weight=torch.tensor([1.0, 1.0, 0.0])))
    found = Regression().update(predicted[:1], true[:1]).update(predicted[1:], true[1:]).compute()
    assert math.isnan(found["r2"].value)
    assert found["r2"].reason == "a target does not vary"
    assert found["mse"].reason == ""


@pytest.mark.parametrize("quantile", [0, 1, -0.1])
def test_a_quantile_out_of_range_is_refused(quantile):
    with pytest.raises(UsageError, match="quantile lies between 0 and 1"):
        quantile_loss(torch.zeros(3), torch.zeros(3), quantile=quantile)
    with pytest.raises(UsageError, match="quantile lies between 0 and 1"):
        Regression().quantile_loss(quantile)

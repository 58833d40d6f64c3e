import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from thalweg.errors import DataError
from thalweg.parts.metrics import mae, mse, r2, rmse
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

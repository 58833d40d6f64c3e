import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data.checks import all_finite, check_counts, check_finite, check_target
from thalweg.errors import DataError

NAN, INF = float("nan"), float("inf")


@given(st.lists(st.floats(width=32) | st.sampled_from([NAN, INF, -INF, 3e38, -3e38]), max_size=20))
def test_all_finite_agrees_with_numpy(values: list[float]) -> None:
    for dtype in (torch.float32, torch.float64):
        assert all_finite(torch.tensor(values, dtype=dtype)) == bool(np.isfinite(np.array(values)).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64, torch.uint8, torch.bool])
def test_all_finite_for_other_types(dtype: torch.dtype) -> None:
    values = torch.full((100_000,), 1 if dtype in (torch.uint8, torch.bool) else 60_000, dtype=dtype)
    assert all_finite(values)
    if values.is_floating_point() or values.is_complex():
        values[7] = NAN
        assert not all_finite(values)


def test_where_inputs_are_not_finite() -> None:
    x = torch.zeros(6, 4)
    x[1, 2], x[4, 2], x[4, 3] = NAN, INF, NAN
    message = (
        r"x has 2 NaN values and 1 infinite value in rows 11, 14 \(counted from 0\), columns 2, 3\. Leave these rows "
        "out or replace the values; a DataFrame's missing values are imputed"
    )
    with pytest.raises(DataError, match=message):
        check_finite(x, torch.arange(10, 16), what="x")
    with pytest.raises(DataError, match="columns 'c', 'd'"):
        check_finite(x, torch.arange(6), what="x", columns=("a", "b", "c", "d"))


def test_missing_values_of_a_table_are_fine_and_infinite_ones_are_not() -> None:
    x = torch.tensor([[NAN, 1.0], [2.0, 3.0]])
    check_finite(x, torch.arange(2), what="The table", columns=("a", "b"), missing_allowed=True)
    x[1, 1] = -INF
    with pytest.raises(DataError, match=r"The table has 1 infinite value in row 1 .*, column 'b'\."):
        check_finite(x, torch.arange(2), what="The table", columns=("a", "b"), missing_allowed=True)


def test_images_and_single_columns() -> None:
    images = torch.zeros(2, 1, 3, 3)
    images[1, 0, 2, 1] = NAN
    with pytest.raises(DataError, match=r"row 1 .* first at place \[0, 2, 1\] of the row"):
        check_finite(images, torch.arange(2), what="x")
    with pytest.raises(DataError, match="its only column"):
        check_finite(torch.tensor([1.0, NAN]), torch.arange(2), what="x")


def test_targets() -> None:
    check_target(torch.tensor([3e38, 3e38]))
    with pytest.raises(DataError, match=r"in row 1 \(counted from 0; 1 of 2\)"):
        check_target(torch.tensor([[1.0, 2.0], [NAN, INF]]))


def test_counts() -> None:
    fine = {"train": [5, 3, 2], "validation": [2, 1, 0], "test": [1, 1, 1]}
    assert check_counts(fine, ("a", "b", "c"), given=()) == ["the validation rows have none of class 'c'"]
    with pytest.raises(DataError, match="The validation rows have class 'b', of which the training rows have none"):
        check_counts({"train": [5, 0, 2], "validation": [2, 1, 0]}, ("a", "b", "c"), given=())
    with pytest.raises(DataError, match="All 5 training rows are of the class 'a', so that nothing can be learned"):
        check_counts({"train": [5, 0], "validation": [2, 0]}, ("a", "b"), given=())
    with pytest.raises(DataError, match=r"All 2 validation rows .* nothing can be measured"):
        check_counts({"train": [5, 1], "validation": [2, 0]}, ("a", "b"), given=("validation",))
    with pytest.raises(DataError, match="All 3 test rows"):
        check_counts({"train": [5, 1], "test": [0, 3]}, ("a", "b"), given=())


def test_a_test_set_of_one_class_may_be_given() -> None:
    notes = check_counts({"train": [5, 1], "test": [0, 3]}, ("a", "b"), given=("test",))
    assert notes == ["all test rows are of the class 'b'", "the test rows have none of class 'a'"]

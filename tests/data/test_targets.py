import numpy as np
import pandas as pd
import pytest
import torch

from thalweg.data.targets import to_target
from thalweg.errors import DataError


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (torch.tensor([0.5, 1.0], dtype=torch.float64), torch.float64),
        (np.array([0.5, 1.0]), torch.float32),
        (np.array([3, 1], dtype=np.uint8), torch.uint8),
        ([True, False], torch.bool),
        ([torch.tensor(3), torch.tensor(1)], torch.int64),
        (np.array([1, 2], dtype=object), torch.int64),
        (np.array([1, 2.5], dtype=object), torch.float32),
        (pd.Series([1, 2], index=[7, 3]), torch.int64),
        (pd.Series([1, 2], dtype="Int64"), torch.int64),
        (pd.Series([True, False], dtype="boolean"), torch.bool),
        (pd.Series([1.5, 2.0], dtype="Float64"), torch.float32),
        (pd.DataFrame({"y": [1, 2]}), torch.int64),
        (pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}), torch.float32),
    ],
)
def test_numbers_become_tensors(value: object, dtype: torch.dtype) -> None:
    target = to_target(value)
    assert isinstance(target, torch.Tensor)
    assert target.dtype == dtype
    expected = value if isinstance(value, list) else np.asarray(value).astype(float).tolist()
    assert target.tolist() == (np.squeeze(expected).tolist() if isinstance(value, pd.DataFrame) else expected)


@pytest.mark.parametrize(
    "value",
    [
        ["b", "a"],
        np.array(["b", "a"]),
        np.array([b"b", b"a"]),
        np.array(["b", "a"], dtype=object),
        pd.Series(["b", "a"], index=[5, 5]),
        pd.Series(["b", "a"], dtype="category"),
        pd.DataFrame({"y": ["b", "a"]}),
    ],
)
def test_text_becomes_labels(value: object) -> None:
    target = to_target(value)
    assert isinstance(target, np.ndarray)
    assert target.tolist() == ["b", "a"]
    assert all(type(label) is str for label in target)


def test_categories_are_labels_whatever_they_hold() -> None:
    assert to_target(pd.Series([1.5, 0.5], dtype="category")).tolist() == [1.5, 0.5]
    days = pd.Series(pd.to_datetime(["2020-01-02", "2020-01-01"])).astype("category")
    assert all(isinstance(label, str) for label in to_target(days))


@pytest.mark.parametrize(
    "value",
    [
        pd.Series([1.0, None, 3.0]),
        pd.Series(["a", None, "b"]),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series(["a", None, "b"], dtype="category"),
        pd.DataFrame({"a": [1.0, 2, 3], "b": [1.0, None, 3]}),
        np.array(["a", None, "b"], dtype=object),
        np.array(["a", float("nan"), "b"], dtype=object),
        ["a", None, "b"],
    ],
)
def test_missing_targets_are_named_by_row(value: object) -> None:
    with pytest.raises(DataError, match=r"missing in row 1 \(counted from 0; 1 of 3\)"):
        to_target(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a", 1], "values of type int, str"),
        (np.array([["a", "b"], ["c", "d"]]), r"shape \[2, 2\]"),
        ([["a", 1], ["c", "d"]], r"shape \[2, 2\]"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "dates"),
        (pd.Series(pd.to_datetime(["2020-01-01"])), "dates"),
        (np.array([(1,), (2,)], dtype=object)[:, 0:0], "shape"),
        (None, "shape"),
    ],
)
def test_what_is_no_target_is_refused(value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_target(value)

import numpy as np
import pytest
import scipy.sparse
import torch

from thalweg.data.arrays import same_length, to_tensor
from thalweg.errors import DataError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("float64", torch.float32),
        ("float32", torch.float32),
        ("float16", torch.float16),
        ("longdouble", torch.float32),
        (">f8", torch.float32),
        (">i4", torch.int32),
        ("uint8", torch.uint8),
        ("uint16", torch.int32),
        ("uint32", torch.int64),
        ("int64", torch.int64),
        ("bool", torch.bool),
    ],
)
def test_numpy_types(given: str, expected: torch.dtype) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(given)
    tensor = to_tensor(array, "x")
    assert tensor.dtype == expected
    assert tensor.tolist() == array.tolist()


def test_wide_integers_keep_their_value() -> None:
    assert to_tensor(np.array([65_535], dtype=np.uint16), "x").item() == 65_535
    assert to_tensor(np.array([2**32 - 1], dtype=np.uint32), "x").item() == 2**32 - 1


def test_tensors_keep_their_dtype_and_lose_their_graph() -> None:
    x = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    tensor = to_tensor(x, "x")
    assert tensor.dtype == torch.float64
    assert not tensor.requires_grad


def test_arrays_torch_cannot_share_are_copied() -> None:
    array = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    assert to_tensor(array[::-1], "x").tolist() == [[4, 5], [2, 3], [0, 1]]
    array.flags.writeable = False
    assert to_tensor(array, "x").tolist() == array.tolist()


def test_a_list_of_tensors_is_stacked() -> None:
    assert to_tensor([torch.zeros(3), torch.ones(3)], "x").shape == (2, 3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1, 2], [3]], "rows of x differ in shape"),
        ([torch.zeros(2), torch.zeros(3)], "cannot be stacked"),
        ([["a", "b"]], "x holds text, not numbers. Pass a pandas DataFrame"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "x holds dates"),
        (np.array([{}, {}], dtype=object), "objects of type dict"),
        (3.5, "single number, 3.5"),
        (torch.eye(3).to_sparse(), r"\.to_dense\(\)"),
        (scipy.sparse.eye(3), r"\.toarray\(\)"),
    ],
)
def test_what_is_no_tensor_is_refused(value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_tensor(value, "x")


def test_lengths_that_differ_are_named() -> None:
    assert same_length({"x": 3, "y": 3}) == 3
    with pytest.raises(DataError, match="x has 1,000, the target has 999"):
        same_length({"x": 1000, "the target": 999})
    with pytest.raises(DataError, match="have no rows"):
        same_length({"x": 0, "the target": 0})

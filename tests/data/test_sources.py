from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from thalweg.data.sources import read_source
from thalweg.errors import DataError, UsageError

X = torch.arange(12.0).reshape(6, 2)
Y = torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        (X.double().numpy(), Y.numpy()),
        (X.tolist(), Y.tolist()),
        (list(X), list(Y)),
        (X.numpy(), pd.Series(Y.numpy())),
        TensorDataset(X, Y),
        Subset(TensorDataset(X.flip(0), Y.flip(0)), [5, 4, 3, 2, 1, 0]),
    ],
)
def test_forms_of_resident_data_agree(data: Any) -> None:
    source = read_source(data)
    assert isinstance(source.inputs, torch.Tensor)
    assert source.inputs.dtype == torch.float32
    assert torch.equal(source.inputs, X)
    assert source.target.tolist() == Y.tolist()
    assert len(source) == 6


def test_several_inputs() -> None:
    source = read_source(((X, Y.numpy()), Y))
    assert isinstance(source.inputs, tuple)
    assert [tensor.dtype for tensor in source.inputs] == [torch.float32, torch.int64]
    named = read_source(({"image": X, "text": Y.tolist()}, Y))
    assert isinstance(named.inputs, dict)
    assert named.inputs["text"].tolist() == Y.tolist()


def test_tables_from_frames_and_files(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [30, 40], "job": ["cook", None], "y": ["no", "yes"]})
    frame.to_csv(tmp_path / "table.csv", index=False)
    for data in (frame, tmp_path / "table.csv", str(tmp_path / "table.csv")):
        source = read_source(data, target="y")
        assert isinstance(source.inputs, pd.DataFrame)
        assert list(source.inputs) == ["age", "job"]
        assert source.target.tolist() == ["no", "yes"]
    pair = read_source((frame[["age", "job"]], frame["y"]))
    assert isinstance(pair.inputs, pd.DataFrame)
    assert pair.target.tolist() == ["no", "yes"]


def test_frame_is_left_as_it_was() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
    before = frame.copy()
    read_source(frame, target="y")
    pd.testing.assert_frame_equal(frame, before)


def test_map_style_datasets() -> None:
    class Rows:
        def __len__(self) -> int:
            return 4

        def __getitem__(self, row: int) -> tuple[torch.Tensor, str]:
            return X[row], "ab"[row % 2]

    assert read_source(Rows()).target.tolist() == ["a", "b", "a", "b"]
    assert read_source([(X[0], 0), (X[1], 1)]).target.tolist() == [0, 1]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([(X[0], 0)])


class Sized(Dataset[Any]):
    def __getitem__(self, row: int) -> Any:
        return X[row], 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DataLoader(TensorDataset(X, Y)), r"train=loader\.dataset"),
        (Stream(), "can only be iterated"),
        (iter([(X, Y)]), "can only be iterated"),
        (Sized(), "can only be iterated"),
        (X, "Tensor without a target"),
        (X.numpy(), "ndarray without a target"),
        (pd.Series([1, 2]), "Series without a target"),
        ({"x": X, "y": Y}, "dict without a target"),
        (None, "NoneType without a target"),
        ([X, Y], "its items must be pairs"),
        ((X, Y, X), r"received 3 items.*\(\(x1, x2\), y\)"),
        (TensorDataset(X, X, Y), r"\(\(x1, x2\), y\)"),
        ((TensorDataset(X, Y), Y), "Pass the Dataset itself"),
        (3, "can only be iterated"),
    ],
)
def test_forms_that_are_not_supported_say_what_to_pass(data: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_source(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, Y[:5]), "x has 6, the target has 5"),
        (((X, X[:4]), Y), "input 0 has 6, input 1 has 4, the target has 6"),
        (({"a": X, "b": X[:4]}, Y), "input 'b' has 4"),
        ((pd.DataFrame({"a": [1, 2]}), [1]), "the table has 2, the target has 1"),
        ((X[:0], Y[:0]), "no rows"),
        (TensorDataset(X[:0], Y[:0]), "no rows"),
        ([], "items must be pairs"),
        (({}, Y), "dict of inputs"),
        (((), Y), "empty tuple"),
        ((["a"] * 6, Y), "Pass a pandas DataFrame"),
        ((X, 3), "single number"),
    ],
)
def test_data_that_cannot_be_used(data: Any, message: str) -> None:
    with pytest.raises((DataError, UsageError), match=message):
        read_source(data)


def test_target_is_for_tables() -> None:
    with pytest.raises(UsageError, match="names a column of a table, but the data are a tuple"):
        read_source((X, Y), target="y")


def test_missing_target_in_a_table_is_named_by_row() -> None:
    frame = pd.DataFrame({"x": np.arange(5), "y": ["a", None, "b", None, "a"]})
    with pytest.raises(DataError, match=r"missing in rows 1, 3 \(counted from 0; 2 of 5\)"):
        read_source(frame, target="y")

import gc
import itertools
import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from thalweg.data.prepare import Prepared, prepare
from thalweg.data.rows import AnyRows, DatasetRows, Rows, tensors_of
from thalweg.data.sample import read
from thalweg.errors import DataError, UsageError

X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(200) % 2
PARTS = ("train", "validation", "test")


def parts_of(data: Prepared) -> dict[str, AnyRows]:
    parts = {"train": data.train, "validation": data.validation}
    return {**parts, "test": data.test.open("run")} if data.test else parts


def frame_of(size: int = 200) -> pd.DataFrame:
    index = np.arange(size)
    return pd.DataFrame(
        {
            "age": np.where(index % 7 == 0, np.nan, index / 2),
            "job": np.where(index % 5 == 0, "cook", "clerk"),
            "city": [f"city {i % 20}" for i in index],
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(index[::-1], unit="D"),
            "bought": np.where(index % 3 == 0, "yes", "no"),
        }
    )


def test_parts_are_the_users_rows(tmp_path: Path) -> None:
    data = prepare((X, Y), loss_name="cross_entropy", directory=tmp_path)
    parts = parts_of(data)
    assert [len(rows) for rows in parts.values()] == [130, 30, 40]
    assert torch.cat([rows.ids for rows in parts.values()]).sort().values.equal(torch.arange(200))
    for part, rows in parts.items():
        assert isinstance(rows, Rows)
        assert rows.part == part
        assert torch.equal(tensors_of(rows.inputs)[0], X[rows.ids])
        assert torch.equal(rows.target, Y[rows.ids])


def test_the_split_is_told_as_plain_data(tmp_path: Path) -> None:
    data = prepare((X, Y), loss_name="cross_entropy", directory=tmp_path, seed=5)
    assert data.description == "130/30 rows, 40 sealed"
    assert json.loads(json.dumps(data.split)) == data.split
    assert data.split["seed"] == 5
    assert data.split["rows"] == {"train": 130, "validation": 30, "test": 40}
    assert data.split["classes"] == {
        "0": {"train": 65, "validation": 15, "test": 20},
        "1": {"train": 65, "validation": 15, "test": 20},
    }
    assert data.split["given"] == []


def test_the_seed_decides_the_split_and_the_global_state_stays(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    first, again, other = (
        prepare((X, Y), loss_name="cross_entropy", directory=tmp_path, seed=seed).train.ids for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def storage_of(tensor: Tensor) -> tuple[int, int]:
    start = tensor.untyped_storage().data_ptr()
    return start, start + tensor.untyped_storage().nbytes()


@pytest.mark.parametrize("given", [False, True])
def test_no_part_shares_memory_with_another_or_with_the_users_data(tmp_path: Path, given: bool) -> None:
    x, y = X.clone(), Y.clone()
    cut = {"validation": (x[120:160], y[120:160]), "test": (x[160:], y[160:])} if given else {}
    data = prepare((x[:120], y[:120]) if given else (x, y), loss_name="cross_entropy", directory=tmp_path, **cut)
    spans = [storage_of(x), storage_of(y)]
    for rows in parts_of(data).values():
        assert isinstance(rows, Rows)
        spans += [storage_of(tensor) for tensor in (*tensors_of(rows.inputs), rows.target)]
    spans.sort()
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_nothing_keeps_the_full_data(tmp_path: Path) -> None:
    x, frame = X.clone(), frame_of()
    kept = [weakref.ref(x), weakref.ref(frame)]
    prepared = [
        prepare((x, Y), loss_name="cross_entropy", directory=tmp_path),
        prepare(frame, target="bought", loss_name="cross_entropy", directory=tmp_path),
    ]
    del x, frame
    gc.collect()
    assert [ref() for ref in kept] == [None, None]
    assert len(prepared) == 2


@pytest.mark.parametrize(
    ("options", "description"),
    [
        ({"test": False}, "170/30 rows, no test set"),
        ({"validation": 0.25}, "110/50 rows, 40 sealed"),
        ({"test": 0.3, "validation": 0.1}, "120/20 rows, 60 sealed"),
        ({"validation": (X, Y)}, "160/200 rows, 40 sealed"),
        ({"test": (X[:50], Y[:50])}, "170/30 rows, 50 sealed"),
        ({"test": (X[:50], Y[:50]), "validation": TensorDataset(X[:60], Y[:60])}, "200/60 rows, 50 sealed"),
        ({"test": False, "validation": (X.numpy(), Y.tolist())}, "200/200 rows, no test set"),
    ],
)
def test_parts_by_share_or_as_given(tmp_path: Path, options: dict[str, Any], description: str) -> None:
    data = prepare((X, Y), loss_name="cross_entropy", directory=tmp_path, **options)
    assert data.description == description
    assert data.split["given"] == [
        part for part in ("validation", "test") if isinstance(options.get(part), tuple | Dataset)
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": False}, "validation=False is not possible: the best epoch"),
        ({"validation": 1.5}, "neither data nor a share"),
        ({"validation": 0}, "neither data nor a share"),
        ({"test": True}, "test=True is neither data .* False none"),
        ({"validation": 0.5, "test": 0.5}, "leave nothing to train on"),
        ({"groups": "user"}, "names a column, but the data are no table"),
        ({"groups": Y, "test": False, "validation": (X, Y)}, "no part is split"),
        ({"target": "y"}, "names a column of a table"),
        ({"validation": (X[:, :2], Y)}, r"In the validation data: A row of x has the shape \[2\]"),
        ({"validation": (X, Y + 1)}, "In the validation data: The label 2 in rows 1, 3"),
        ({"test": (X, Y[:5])}, "In the test data: Inputs and target"),
        ({"test": (X / 0, Y)}, r"In the test data: x has 600 infinite values"),
        ({"test": (X[:0], Y[:0])}, "In the test data: .* no rows"),
        ({"validation": (X[::2], Y[::2])}, "All 100 validation rows are of the class 0"),
        ({"validation": ({"a": X}, Y)}, "trained on a tensor of inputs; received a dict"),
        ({"groups": torch.arange(199)}, r"\(200,\); received shape \(199,\)"),
    ],
)
def test_what_cannot_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, UsageError), match=message):
        prepare((X, Y), loss_name="cross_entropy", directory=tmp_path, **options)


def test_the_same_data_for_two_parts_is_refused(tmp_path: Path) -> None:
    data, other = (X, Y), (X.clone(), Y)
    with pytest.raises(UsageError, match="validation is the same data as train"):
        prepare(data, validation=data, loss_name="cross_entropy", directory=tmp_path)
    with pytest.raises(UsageError, match="validation and test are the same data"):
        prepare(data, validation=other, test=other, loss_name="cross_entropy", directory=tmp_path)
    with pytest.raises(UsageError, match="test is the same data as train"):
        prepare("a.csv", test=Path("a.csv"), target="y", loss_name="cross_entropy", directory=tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_inputs_that_are_not_finite_are_named_by_the_users_rows(tmp_path: Path, value: float) -> None:
    x = X.clone()
    x[[17, 150], 1] = value
    with pytest.raises(DataError, match=r"x has \d (NaN|infinite) values? in rows? (17|150).* column 1\."):
        prepare((x, Y), loss_name="cross_entropy", directory=tmp_path)


def test_rare_classes_stay_in_training_and_are_told(tmp_path: Path) -> None:
    target = ["a"] * 100 + ["b"] * 99 + ["rare"]
    data = prepare((X, target), loss_name="cross_entropy", directory=tmp_path)
    assert data.split["classes"]["rare"] == {"train": 1, "validation": 0, "test": 0}
    assert "1 class of fewer than 3 rows kept in training" in data.split["summary"]
    assert "the validation rows have none of class 'rare'" in data.split["notes"]


def test_classes_that_time_keeps_from_training_are_an_error(tmp_path: Path) -> None:
    target = torch.cat([Y[:180], torch.full((20,), 2)])
    with pytest.raises(DataError, match="The test rows have class 2, of which the training rows have none"):
        prepare((X, target), time=torch.arange(200), loss_name="cross_entropy", directory=tmp_path)


def test_groups_and_time(tmp_path: Path) -> None:
    people = [f"person {i % 17}" for i in range(200)]
    parts = parts_of(prepare((X, Y), groups=people, loss_name="cross_entropy", directory=tmp_path))
    of_part = [{people[i] for i in rows.ids.tolist()} for rows in parts.values()]
    assert sum(map(len, of_part)) == 17 == len(set.union(*of_part))
    parts = parts_of(prepare((X, Y), time=torch.arange(200).flip(0), loss_name="cross_entropy", directory=tmp_path))
    assert parts["test"].ids.tolist() == list(range(40))
    assert parts["validation"].ids.tolist() == list(range(40, 70))


def test_target_forms(tmp_path: Path) -> None:
    def target_of(x: Any, y: Any, loss_name: str | None) -> Tensor:
        return prepare((x, y), loss_name=loss_name, directory=tmp_path).train.target

    values = np.linspace(0, 1, 200)
    assert target_of(X, values, "mse").dtype == torch.float32
    assert target_of(X, torch.tensor(values), "mse").dtype == torch.float32  # as the float32 inputs
    assert target_of(X.double(), torch.tensor(values), "mse").dtype == torch.float64
    assert target_of(X, Y.bool(), "binary_cross_entropy").dtype == torch.float32
    assert target_of(X, torch.tensor(values), None).dtype == torch.float64  # a loss of one's own: as given
    assert target_of(X, Y.to(torch.int16)[:, None], None).shape == (130, 1)


def test_several_inputs(tmp_path: Path) -> None:
    data = prepare(({"a": X, "b": Y}, Y), loss_name="cross_entropy", directory=tmp_path)
    assert isinstance(data.train, Rows)
    assert isinstance(data.train.inputs, dict)
    assert torch.equal(data.train.inputs["b"], Y[data.train.ids])
    bad = X.clone()
    bad[data.train.ids[0], 0] = float("nan")
    with pytest.raises(DataError, match="input 'a' has 1 NaN value"):
        prepare(({"a": bad, "b": Y}, Y), loss_name="cross_entropy", directory=tmp_path)


def test_a_table(tmp_path: Path) -> None:
    frame = frame_of()
    data = prepare(frame, target="bought", loss_name="binary_cross_entropy", directory=tmp_path)
    assert data.columns == ("age", "job", "city", "day")
    assert data.task.classes == ("no", "yes")
    assert data.table is not None
    for rows in parts_of(data).values():
        assert isinstance(rows, Rows)
        part = frame.iloc[rows.ids.numpy()]
        assert isinstance(rows.inputs, Tensor)
        np.testing.assert_array_equal(rows.inputs[:, 0].numpy(), part["age"].to_numpy())
        assert rows.inputs[:, 3].tolist() == [moment.timestamp() for moment in part["day"]]
        assert rows.target.tolist() == (part["bought"] == "yes").astype(float).tolist()
        torch.testing.assert_close(data.encode_inputs(part), rows.inputs, rtol=0, atol=0, equal_nan=True)


def test_the_vocabulary_is_of_the_training_rows_only(tmp_path: Path) -> None:
    frame = frame_of()
    base = prepare(frame, target="bought", loss_name="cross_entropy", directory=tmp_path)
    frame.loc[base.validation.ids.tolist(), "city"] = "unseen"
    data = prepare(frame, target="bought", loss_name="cross_entropy", directory=tmp_path)
    assert data.table == base.table
    assert isinstance(data.validation, Rows)
    assert isinstance(data.validation.inputs, Tensor)
    assert data.validation.inputs[:, 2].isnan().all()


def test_columns_that_group_or_order_are_no_inputs(tmp_path: Path) -> None:
    frame = frame_of()
    data = prepare(frame, target="bought", time="day", loss_name="cross_entropy", directory=tmp_path)
    assert data.columns == ("age", "job", "city")
    assert data.split["method"] == "by time"
    assert data.split["notes"] == ["column 'day' gives the time of the split and is no input"]
    assert parts_of(data)["test"].ids.tolist() == list(range(40))  # `day` falls with the row
    grouped = prepare(frame, target="bought", groups="city", loss_name="cross_entropy", directory=tmp_path)
    cities = [set(frame["city"].iloc[rows.ids.numpy()]) for rows in parts_of(grouped).values()]
    assert sum(map(len, cities)) == 20
    with pytest.raises(UsageError, match="no column 'town' for groups"):
        prepare(frame, target="bought", groups="town", loss_name="cross_entropy", directory=tmp_path)


def test_infinite_values_in_a_table(tmp_path: Path) -> None:
    frame = frame_of()
    frame.loc[8, "age"] = float("inf")
    with pytest.raises(DataError, match=r"The table has 1 infinite value in row 8 .*, column 'age'"):
        prepare(frame, target="bought", loss_name="cross_entropy", directory=tmp_path)


def test_tables_given_for_validation(tmp_path: Path) -> None:
    frame = frame_of()
    frame.iloc[150:].to_csv(tmp_path / "validation.csv", index=False)
    train = frame.iloc[:150]
    options: dict[str, Any] = {"target": "bought", "loss_name": "cross_entropy", "directory": tmp_path}
    for validation in (frame.iloc[150:], tmp_path / "validation.csv", (frame.iloc[150:, :4], frame.iloc[150:, 4])):
        data = prepare(train, validation=validation, **options)
        assert data.description == "120/50 rows, 30 sealed"
        assert isinstance(data.validation, Rows)
        assert isinstance(data.validation.inputs, Tensor)
        assert data.table is not None
        expected = data.table.encode(frame.iloc[150:])
        torch.testing.assert_close(data.validation.inputs, expected, rtol=0, atol=0, equal_nan=True)
    with pytest.raises(DataError, match="In the validation data: The table has no column 'city'"):
        prepare(train, validation=frame.iloc[150:].drop(columns="city"), **options)
    with pytest.raises(UsageError, match="In the validation data: The network was trained on a table"):
        prepare(train, validation=(X, Y), **options)


class Pictures(Dataset[Any]):
    """Rows (x, y) of numpy float64 values that remember what was read."""

    def __init__(self, size: int = 60, width: int = 4) -> None:
        self.size, self.width = size, width
        self.targets = [i % 3 for i in range(size)]
        self.reads: set[int] = set()

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, row: int) -> Any:
        self.reads.add(row)
        return np.full(self.width, row / 2), self.targets[row]


def test_a_dataset_is_read_row_by_row_behind_a_guard(tmp_path: Path) -> None:
    dataset = Pictures()
    data = prepare(dataset, loss_name="cross_entropy", directory=tmp_path)
    assert dataset.reads == {0, 59}  # the ends, to see whether `targets` agrees
    assert data.description == "39/9 rows, 12 sealed"
    parts = parts_of(data)
    for rows in parts.values():
        assert isinstance(rows, DatasetRows)
        resident = read(rows, torch.arange(len(rows)))
        assert isinstance(resident.inputs, Tensor)
        assert resident.inputs.dtype == torch.float32
        assert torch.equal(resident.inputs, (rows.ids / 2)[:, None].expand(-1, 4))
        assert rows.target.tolist() == (rows.ids % 3).tolist()
    assert isinstance(data.train, DatasetRows)
    with pytest.raises(DataError, match="is not one of the 39 training rows"):
        data.train.dataset[int(parts["test"].ids[0])]
    assert isinstance(data.encode_inputs([[1.0, 2.0, 3.0, 4.0]]), Tensor)


def test_datasets_of_another_form_are_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {"loss_name": "cross_entropy", "directory": tmp_path}
    with pytest.raises(
        DataError, match=r"rows of tensor \(float32 \[5\]\), the training data tensor \(float32 \[4\]\)"
    ):
        prepare(Pictures(), validation=Pictures(width=5), **options)
    with pytest.raises(DataError, match="x of row 0 is a str"):
        prepare([("a", 0), ("b", 1)] * 20, **options)


def test_openings_are_counted_in_one_log(tmp_path: Path) -> None:
    data = prepare((X, Y), loss_name="cross_entropy", directory=tmp_path)
    assert data.test is not None
    data.test.open("first")
    again = prepare((X, Y), loss_name="cross_entropy", directory=tmp_path)
    assert again.test is not None
    assert again.test.count() == 1
    assert (tmp_path / "seal.jsonl").exists()

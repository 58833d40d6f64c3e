import json
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler
from torch import Tensor, nn

from thalweg.data.rows import Part, Rows
from thalweg.errors import DataError
from thalweg.parts.preprocessing import PCA, Chain, Log, MinMax, Robust, Standardize, Table
from thalweg.parts.preprocessing.encoder import TableEncoder
from thalweg.parts.preprocessing.modules.restore import restore
from thalweg.parts.preprocessing.modules.table import TablePreprocessing

NAN = float("nan")


def mixed(size: int = 300, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": random.lognormal(10, 1, size),
            "age": random.integers(18, 90, size).astype(float),
            "constant": np.full(size, 0.1),
            "job": random.choice(["cook", "clerk", "pilot"], size, p=[0.6, 0.3, 0.1]),
            "smokes": random.random(size) < 0.3,
            "joined": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 10**8, size), unit="s"),
        }
    )
    frame.loc[random.random(size) < 0.1, "age"] = NAN
    frame.loc[random.random(size) < 0.1, "job"] = None
    return frame


def rows_of(table: TableEncoder, frame: pd.DataFrame, part: Part = "train") -> Rows:
    return Rows(table.encode(frame), torch.zeros(len(frame)), torch.arange(len(frame)), part)


def fitted(frame: pd.DataFrame) -> tuple[TableEncoder, TablePreprocessing]:
    table = TableEncoder.fit(frame)
    return table, Table().fit_table(rows_of(table, frame), table)


@pytest.mark.parametrize(
    ("values", "kind", "encoded"),
    [
        ([1.5, None, 2.0], "number", [1.5, NAN, 2.0]),
        (pd.Series([1, None, 3], dtype="Int64"), "number", [1, NAN, 3]),
        (pd.Series([1, None, 2.5], dtype=object), "number", [1, NAN, 2.5]),
        (pd.Series([Decimal("1.5"), None], dtype=object), "number", [1.5, NAN]),
        (pd.Series([None, None], dtype=object), "number", [NAN, NAN]),
        (pd.to_timedelta(["1min", None]), "number", [60, NAN]),
        ([True, False], "boolean", [1, 0]),
        (pd.Series([True, None, False], dtype=object), "boolean", [1, NAN, 0]),
        (pd.Series([True, None, False], dtype="boolean"), "boolean", [1, NAN, 0]),
        (pd.to_datetime(["1970-01-02", None]), "datetime", [86_400, NAN]),
        (pd.to_datetime(["1970-01-02 01:00"]).tz_localize("Europe/Paris"), "datetime", [86_400]),
        (pd.Series([date(1970, 1, 2), None], dtype=object), "datetime", [86_400, NAN]),
        (["b", "a", None, "b"], "category", [0, 1, NAN, 0]),
        (pd.Series(["z", "a", "z", None], dtype="category"), "category", [0, 1, 0, NAN]),
        (pd.Series([7, 5, 7], dtype="category"), "category", [0, 1, 0]),
        (pd.Series([True, False, False]).astype("category"), "category", [1, 0, 0]),
        (pd.Series(["a", 1, "a"], dtype=object), "category", [0, 1, 0]),
        (pd.Series(["a", 1.5, 1.5], dtype=object), "category", [1, 0, 0]),
    ],
)
def test_kinds_and_codes(values: Any, kind: str, encoded: list[float]) -> None:
    frame = pd.DataFrame({"column": values})
    table = TableEncoder.fit(frame)
    assert table.columns[0].kind == kind
    assert table.columns[0].missing == bool(np.isnan(encoded).any())
    expected = torch.tensor(encoded, dtype=torch.float64)[:, None]
    torch.testing.assert_close(table.encode(frame), expected, rtol=0, atol=0, equal_nan=True)


def test_levels_are_in_the_order_of_frequency_whatever_the_order_of_rows() -> None:
    values = ["b"] * 3 + ["a"] * 3 + ["c"] * 5 + ["d"]
    for order in (values, values[::-1]):
        assert TableEncoder.fit(pd.DataFrame({"x": order})).columns[0].levels == ("c", "a", "b", "d")


def test_unused_categories_are_no_levels() -> None:
    column = pd.Categorical(["a", "a"], categories=["a", "never"])
    assert TableEncoder.fit(pd.DataFrame({"x": column})).columns[0].levels == ("a",)


def test_new_frames() -> None:
    table = TableEncoder.fit(mixed())
    new = pd.DataFrame(
        {
            "extra": [1],
            "joined": ["2021-05-01T12:00:00"],
            "smokes": ["True"],
            "job": ["astronaut"],
            "constant": [1],
            "age": ["41"],
            "income": [None],
        }
    )
    moment = pd.Timestamp("2021-05-01 12:00", tz="UTC").timestamp()
    expected = torch.tensor([[NAN, 41, 1, NAN, 1, moment]], dtype=torch.float64)
    torch.testing.assert_close(table.encode(new), expected, rtol=0, atol=0, equal_nan=True)


def test_numeric_names_of_columns_are_text() -> None:
    table = TableEncoder.fit(pd.DataFrame([[1.0, 2.0]]))
    assert table.names == ("0", "1")
    assert table.encode(pd.DataFrame([[3.0, 4.0]])).tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("age", ["old", "41", None], r"'age' held numbers in training and now holds 'old' in row 0 .* 1 such rows"),
        ("age", [pd.Timestamp("2020-01-01")] * 3, "'age' held numbers"),
        ("smokes", [True, "sometimes", False], "'smokes' held True and False in training and now holds 'sometimes'"),
        ("smokes", [2, 0, 1], "'smokes' held True and False .* holds 2 in row 0"),
        ("joined", ["2020-01-01", "yesterday", None], "'joined' held dates in training and now holds 'yesterday'"),
        ("joined", [5, 6, 7], "'joined' held dates in training and now holds 5 in row 0"),
    ],
)
def test_columns_that_changed_their_kind(column: str, values: list[Any], message: str) -> None:
    table, new = TableEncoder.fit(mixed()), mixed(3)
    new[column] = pd.Series(values, dtype=object) if isinstance(values[0], str | bool) else values
    with pytest.raises(DataError, match=message):
        table.encode(new)


def test_missing_column() -> None:
    table = TableEncoder.fit(mixed())
    with pytest.raises(DataError, match=r"no column 'income', .* Did you mean 'incomes'\? It needs: 'income', 'age'"):
        table.encode(mixed().rename(columns={"income": "incomes"}))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"x": [[1], [2]]}), "Column 'x' holds values of type list"),
        (pd.DataFrame({"x": [1j, 2j]}), "Column 'x' holds values of type complex"),
        (pd.DataFrame({"x": pd.period_range("2020", periods=2, freq="M")}), "Column 'x' holds values of type Period"),
        (pd.DataFrame(index=range(3)), "no columns"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns named 'a'"),
    ],
)
def test_tables_that_cannot_be_encoded(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        TableEncoder.fit(frame)


def test_json_round_trip_encodes_the_same() -> None:
    frame = mixed()
    table = TableEncoder.fit(frame)
    loaded = TableEncoder.from_json(json.loads(json.dumps(table.to_json())))
    assert loaded == table
    torch.testing.assert_close(
        loaded.encode(mixed(seed=1)), table.encode(mixed(seed=1)), rtol=0, atol=0, equal_nan=True
    )


def test_features_agree_with_scikit_learn() -> None:
    train, new = mixed(), mixed(seed=1)
    new.loc[0, "job"] = "astronaut"
    new.loc[1, "income"] = NAN  # never missing in training: imputed, no indicator
    _, module = fitted(train)

    def numbers(frame: pd.DataFrame) -> pd.DataFrame:
        joined = (frame["joined"] - pd.Timestamp(0)).dt.total_seconds()
        return frame.assign(smokes=frame["smokes"].astype(float), joined=joined, job=frame["job"].fillna("other"))

    numeric = ["income", "age", "constant", "smokes", "joined"]
    levels = [["cook", "clerk", "pilot", "other"]]
    oracle = ColumnTransformer(
        [
            ("number", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            ("missing", SimpleImputer(add_indicator=True), ["age"]),
            ("job", OneHotEncoder(categories=levels, sparse_output=False), ["job"]),
        ]
    ).fit(numbers(train))
    assert module.names == (
        *numeric, "age is missing", "job=cook", "job=clerk", "job=pilot", "job=other",
    )  # fmt: skip
    for frame in (train, new):
        seen = numbers(frame).replace({"job": {"astronaut": "other"}})
        expected = np.delete(oracle.transform(seen), 5, axis=1)  # the imputed age beside its indicator
        received = module(TableEncoder.fit(train).encode(frame))
        assert received.dtype == torch.float32
        np.testing.assert_allclose(received.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_dates_keep_their_seconds() -> None:
    # in float32 neighbors of 1.7e9 are 128 apart: the difference must be taken in float64
    frame = pd.DataFrame({"t": pd.Timestamp("2024-01-01") + pd.to_timedelta([0, 1, 2, 3], unit="s")})
    table, module = fitted(frame)
    expected = (torch.arange(4.0) - 1.5) / torch.arange(4.0).std(correction=0)
    torch.testing.assert_close(module(table.encode(frame))[:, 0], expected)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1, -3.7e-5])
def test_constant_columns_become_zero(value: float) -> None:
    frame = pd.DataFrame({"x": np.full(1001, value)})
    table, module = fitted(frame)
    assert module(table.encode(frame)).abs().max() == 0
    assert module(table.encode(pd.DataFrame({"x": [value + 5]}))).item() == 0


def test_small_spread_around_a_large_mean_is_no_constant() -> None:
    frame = pd.DataFrame({"x": 1e6 + np.array([-1e-3, 1e-3] * 50)})
    table, module = fitted(frame)
    torch.testing.assert_close(module(table.encode(frame))[:2, 0], torch.tensor([-1.0, 1.0]), atol=1e-5, rtol=0)


def test_column_without_any_value() -> None:
    frame = pd.DataFrame({"x": [NAN, NAN], "y": [1.0, 2.0]})
    table, module = fitted(frame)
    assert module(table.encode(frame)).tolist() == [[0, -1, 1], [0, 1, 1]]


@pytest.mark.parametrize(("num_levels", "width"), [(50, 51), (51, 50), (400, 50)])
def test_many_levels(num_levels: int, width: int) -> None:
    values = [f"level {i:03}" for i in range(num_levels) for _ in range(1 + (num_levels - i) // 10)]
    frame = pd.DataFrame({"x": values})
    table, module = fitted(frame)
    assert len(table.columns[0].levels) == num_levels
    assert len(module.names) == width
    features = module(table.encode(frame))
    assert (features.sum(1) == 1).all()
    kept = min(num_levels, width - 1)
    most = frame["x"].value_counts().iloc[:kept]
    counts = dict(zip(module.names, features.sum(0).tolist(), strict=True))
    assert sorted((counts[name] for name in module.names[:-1]), reverse=True) == most.tolist()
    assert counts["x=other"] == len(frame) - most.sum()


@pytest.mark.parametrize("part", ["validation", "test"])
def test_only_training_rows_are_fitted(part: Part) -> None:
    frame = mixed()
    table = TableEncoder.fit(frame)
    with pytest.raises(DataError, match=f"training rows only, and received 300 {part} rows"):
        Table().fit_table(rows_of(table, frame, part), table)


@pytest.mark.parametrize("columns", [["income", "age", "job", "smokes"], ["income"], ["job"]])
@pytest.mark.parametrize("batch", [1, 7])
def test_export(columns: list[str], batch: int) -> None:
    frame = mixed()[columns]
    table, module = fitted(frame)
    x = table.encode(frame)
    model = nn.Sequential(module, nn.Linear(len(module.names), 2)).eval()
    rows = torch.export.Dim("rows")
    exported = torch.export.export(model, (x[:5],), dynamic_shapes=({0: rows},)).module()
    torch.testing.assert_close(exported(x[:batch]), model(x[:batch]))


def test_state_travels_with_the_model() -> None:
    frame = mixed()
    table, module = fitted(frame)
    restored = restore(module.state_dict(), json.loads(json.dumps(module.form)))
    assert restored.names == module.names
    x = table.encode(mixed(seed=2))
    assert torch.equal(restored(x), module(x))
    assert not list(module.parameters())


def test_gradient_passes_into_the_network_behind() -> None:
    frame = mixed()
    table, module = fitted(frame)
    network = nn.Sequential(module, nn.Linear(len(module.names), 1))
    output: Tensor = network(table.encode(frame))
    output.sum().backward()
    assert network[1].weight.grad.isfinite().all()


def part_rows(frame: pd.DataFrame) -> tuple[TableEncoder, Rows]:
    table = TableEncoder.fit(frame)
    return table, rows_of(table, frame)


@pytest.mark.parametrize("missing", ["median", "mean", -7.5])
def test_missing_values_are_filled_as_scikit_learn_does(missing: Any) -> None:
    frame = mixed()[["income", "age"]]
    table, rows = part_rows(frame)
    module = Table(missing=missing, numbers=Robust(), indicator=False).fit_table(rows, table)
    strategy = {"strategy": missing} if isinstance(missing, str) else {"strategy": "constant", "fill_value": missing}
    oracle = make_pipeline(SimpleImputer(**strategy), RobustScaler()).fit(frame)
    new = mixed(seed=1)[["income", "age"]]
    new.loc[3, "income"] = NAN
    np.testing.assert_allclose(module(table.encode(new)).numpy(), oracle.transform(new), rtol=1e-5, atol=1e-5)
    assert module.names == ("income", "age")


def test_ordinal_categories_are_numbers_in_their_order() -> None:
    frame = pd.DataFrame({"grade": ["b", "a", "c", "b", "b", None], "size": ["10", "9", "9", "11", "9", "10"]})
    table, rows = part_rows(frame)
    module = Table(categories="ordinal", numbers=MinMax(high=2)).fit_table(rows, table)
    assert module.names == ("grade (ordinal)", "size (ordinal)", "grade (ordinal) is missing")
    expected = OrdinalEncoder().fit_transform(frame[["grade"]].dropna())
    assert module(table.encode(frame))[:5, 0].tolist() == expected[:, 0].tolist()
    assert module(table.encode(frame))[:, 1].tolist() == [1, 0, 0, 2, 0, 1]  # by size, not by alphabet
    unseen = module(table.encode(pd.DataFrame({"grade": ["z"], "size": ["9"]})))
    assert unseen.tolist() == [[1, 0, 1]]  # the median, and that it is missing


def test_frequencies_are_shares_of_the_training_rows() -> None:
    frame = pd.DataFrame({"x": ["a"] * 5 + ["b"] * 3 + ["c", None]})
    table, rows = part_rows(frame)
    module = Table(categories="frequency", numbers=MinMax(low=0.1, high=0.5), min_rows=2).fit_table(rows, table)
    new = pd.DataFrame({"x": ["a", "b", "c", "never", None]})
    # shares .5, .3 and .2 of what is rare or missing; min-max brings .2..5 to .1...5
    expected = 0.1 + (torch.tensor([0.5, 0.3, 0.2, 0.2, 0.2]) - 0.2) * 0.4 / 0.3
    torch.testing.assert_close(module(table.encode(new))[:, 0], expected)
    assert module.names == ("x (frequency)",)


def test_indices_are_for_an_embedding() -> None:
    frame = pd.DataFrame({"n": [1.0, 2.0, 3.0, 4.0], "x": ["a", "a", "b", "c"], "y": ["u", "v", "v", "v"]})
    table, rows = part_rows(frame)
    module = Table(categories="index", max_levels=2).fit_table(rows, table)
    assert module.names == ("n", "x (index)", "y (index)")
    assert module.sizes == (2, 3)
    new = pd.DataFrame({"n": [1.0, 1.0], "x": ["a", "b"], "y": ["u", "w"]})
    assert module(table.encode(new))[:, 1:].tolist() == [[0, 1], [1, 2]]


def test_rare_levels_share_a_place() -> None:
    frame = pd.DataFrame({"x": ["a"] * 5 + ["b"] * 3 + ["c"] * 2 + ["d"]})
    table, rows = part_rows(frame)
    for part, names in (
        (Table(min_rows=3), ("x=a", "x=b", "x=other")),
        (Table(max_levels=3), ("x=a", "x=b", "x=other")),
    ):
        module = part.fit_table(rows, table)
        assert module.names == names
        assert module(table.encode(frame)).sum(0).tolist() == [5, 3, 3]


def test_a_tables_numbers_go_through_any_part() -> None:
    frame = mixed()[["income", "age", "constant", "joined", "job"]]
    table, rows = part_rows(frame)
    module = Table(numbers=Chain(Log(), Standardize(), PCA(components=2))).fit_table(rows, table)
    assert module.names[:2] == ("component 1", "component 2")
    features = module(table.encode(frame))
    assert (torch.cov(features[:, :2].T.double(), correction=0) - torch.eye(2)).abs().max() < 1e-5
    assert "1 of 4 columns got the logarithm: 0" in module.report
    again = restore(module.state_dict(), json.loads(json.dumps(module.form)))
    assert torch.equal(again(table.encode(mixed(seed=1))), module(table.encode(mixed(seed=1))))
    by_column = Table(numbers=Standardize()).fit_table(rows, table)
    torch.testing.assert_close(by_column(table.encode(frame)), Table().fit_table(rows, table)(table.encode(frame)))

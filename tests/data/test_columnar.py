"""Parquet and polars give what the same pandas frame gives."""

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from thalweg.data.columnar import from_polars
from thalweg.data.prepare import Prepared, prepare
from thalweg.data.rows import Rows
from thalweg.data.tables import read_table
from thalweg.errors import DataError, UsageError
from thalweg.parts.preprocessing.encoder import TableEncoder

SIZE = 80
INDEX = np.arange(SIZE)
DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=int(i)) for i in INDEX]


def columns() -> dict[str, list[Any]]:
    """Mixed types with missing values, as plain lists."""
    return {
        "whole": [None if i % 9 == 0 else int(i) for i in INDEX],
        "number": [None if i % 7 == 0 else i / 3 for i in INDEX],
        "text": [None if i % 11 == 0 else f"city {i % 4}" for i in INDEX],
        "flag": [None if i % 5 == 0 else bool(i % 2) for i in INDEX],
        "day": [None if i % 13 == 0 else DAYS[i] for i in INDEX],
        "moment": [dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=int(i)) for i in INDEX],
        "waited": [dt.timedelta(seconds=int(i)) for i in INDEX],
        "kind": [("a", "b", "c")[i % 3] for i in INDEX],
        "person": [int(i) // 4 for i in INDEX],
        "y": ["yes" if i % 3 else "no" for i in INDEX],
    }


def in_polars() -> pl.DataFrame:
    return pl.DataFrame(columns()).with_columns(pl.col("kind").cast(pl.Categorical))


def in_pandas() -> pd.DataFrame:
    frame = pd.DataFrame(columns())
    return frame.assign(kind=frame["kind"].astype("category"))


def in_parquet(folder: Path) -> Path:
    in_pandas().to_parquet(folder / "x.parquet")
    return folder / "x.parquet"


def same_parts(one: Prepared, other: Prepared) -> None:
    assert one.table == other.table
    assert one.split == other.split
    assert one.task == other.task
    for rows, expected in ((one.train, other.train), (one.validation, other.validation)):
        assert isinstance(rows, Rows)
        assert isinstance(expected, Rows)
        torch.testing.assert_close(rows.inputs, expected.inputs, equal_nan=True, atol=0, rtol=0)
        assert torch.equal(rows.target, expected.target)


SPLITS: list[dict[str, Any]] = [{}, {"groups": "person"}, {"time": "day"}, {"time": "moment"}, {"split": "random"}]


@pytest.mark.parametrize("options", SPLITS, ids=str)
@pytest.mark.parametrize("form", ["polars", "lazy", "parquet"])
def test_parts_are_those_of_pandas(tmp_path: Path, form: str, options: dict[str, Any]) -> None:
    frames = {"polars": in_polars, "lazy": lambda: in_polars().lazy(), "parquet": lambda: in_parquet(tmp_path)}
    data, expected = frames[form](), in_pandas()
    if options == {"time": "day"}:  # every row needs a time
        expected = expected.assign(day=DAYS)
        expected.to_parquet(tmp_path / "x.parquet")
        data = {"polars": from_days, "lazy": lambda: from_days().lazy(), "parquet": lambda: tmp_path / "x.parquet"}[
            form
        ]()
    found = [
        prepare(each, target="y", loss_name="cross_entropy", directory=tmp_path, **options) for each in (data, expected)
    ]
    same_parts(*found)


def from_days() -> pl.DataFrame:
    return in_polars().with_columns(pl.Series("day", DAYS))


def test_given_parts_and_new_inputs(tmp_path: Path) -> None:
    frame = in_polars()
    data = prepare(
        frame[:50], validation=frame[50:65].lazy(), test=in_parquet(tmp_path), target="y",
        loss_name="cross_entropy", directory=tmp_path,
    )  # fmt: skip
    assert data.split["rows"] == {"train": 50, "validation": 15, "test": 80}
    expected = data.encode_inputs(in_pandas()[:7])
    assert isinstance(expected, torch.Tensor)
    for new in (frame[:7], frame.lazy().head(7)):
        torch.testing.assert_close(data.encode_inputs(new), expected, equal_nan=True, atol=0, rtol=0)
    whole = data.encode_inputs(str(tmp_path / "x.parquet"))
    assert isinstance(whole, torch.Tensor)
    torch.testing.assert_close(whole[:7], expected, equal_nan=True, atol=0, rtol=0)


def test_pairs_of_polars(tmp_path: Path) -> None:
    x = pl.DataFrame({"a": np.arange(40.0), "b": np.arange(40) % 7})
    data = prepare((x, pl.Series(INDEX[:40] % 2)), loss_name="cross_entropy", directory=tmp_path)
    assert data.columns == ("a", "b")
    assert data.task.kind == "binary"
    keys = pl.Series([f"p{i // 2}" for i in range(40)])
    grouped = prepare((x, pl.Series(INDEX[:40] % 2)), loss_name="cross_entropy", directory=tmp_path, groups=keys)
    assert grouped.split["method"] == "by group"


def test_types_that_only_polars_has() -> None:
    frame = from_polars(
        pl.DataFrame(
            {
                "price": pl.Series(["1.50", None, "2"]).cast(pl.Decimal(10, 2)),
                "size": pl.Series(["s", None, "l"], dtype=pl.Enum(["s", "m", "l"])),
                "byte": pl.Series([1, 2, 3], dtype=pl.UInt8),
                "nothing": [None, None, None],
                "paris": pl.Series([dt.datetime(2024, 10, 27, h) for h in (0, 1, 2)]).dt.replace_time_zone("UTC")
                .dt.convert_time_zone("Europe/Paris"),  # two of them at the same hour of the clock there
            }
        )
    )  # fmt: skip
    table = TableEncoder.fit(frame)
    assert [(c.kind, c.missing) for c in table.columns] == [
        ("number", True), ("category", True), ("number", False), ("number", True), ("datetime", False),
    ]  # fmt: skip
    encoded = table.encode(frame)
    assert encoded[[0, 2], 0].tolist() == [1.5, 2.0]
    assert encoded[:, 4].diff().tolist() == [3600.0, 3600.0]


@pytest.mark.parametrize("bad", [[[1], [2]], [{"a": 1}, {"a": 2}], [b"a", b"b"]])
def test_columns_that_are_no_numbers_text_or_dates(bad: list[Any]) -> None:
    with pytest.raises(DataError, match=r"Column 'x' holds values of type (list|dict|bytes), which cannot be encoded"):
        TableEncoder.fit(from_polars(pl.DataFrame({"x": bad})))


def test_polars_needs_no_pyarrow_and_parquet_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = in_parquet(tmp_path)
    expected = from_polars(in_polars())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    pd.testing.assert_frame_equal(from_polars(in_polars()), expected)
    with pytest.raises(
        UsageError, match=r"x\.parquet needs pyarrow, which is not installed: pip install 'thalweg\[parquet\]'"
    ):
        read_table(path, target="y")


def test_polars_is_imported_by_none_who_does_not_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "polars")
    frame = in_polars()
    assert from_polars(frame) is frame
    assert "polars" not in sys.modules


def test_damaged_parquet(tmp_path: Path) -> None:
    path = in_parquet(tmp_path)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[4:400] = b"\xff" * 396
    for content in (whole[: len(whole) // 2], whole[:-4], b"", b"x,y\n1,2\n", bytes(damaged)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.parquet cannot be read as Parquet: .* write or copy it again"):
            read_table(path, target="y")
    with pytest.raises(UsageError, match=r"There is no file .*nothing\.parquet"):
        prepare(tmp_path / "nothing.parquet", target="y", loss_name="cross_entropy", directory=tmp_path)

import gzip
from pathlib import Path

import pandas as pd
import pytest

from thalweg.data.tables import read_table, split_target
from thalweg.errors import DataError, UsageError


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("packed", [False, True])
def test_separator_is_found(tmp_path: Path, separator: str, packed: bool) -> None:
    frame = pd.DataFrame({"name": ["a, b", "c; d", "e\tf"], "x": [1.5, 2.5, 3.5], "y": ["no", "yes", "no"]})
    path = tmp_path / ("table.csv.gz" if packed else "table.csv")
    frame.to_csv(path, sep=separator, index=False)
    pd.testing.assert_frame_equal(read_table(path, target="y"), frame)


def test_quoted_line_breaks_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('\ufeffa,b\n1,"two\nlines"\n2,x\n', encoding="utf-8")
    frame = read_table(path, target="a")
    assert list(frame.columns) == ["a", "b"]
    assert frame["b"].tolist() == ["two\nlines", "x"]


def test_one_column_alone_is_nothing_to_learn_from(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("y\n1\n2\n")
    with pytest.raises(DataError, match="nothing to predict it from"):
        split_target(read_table(path, target="y"), "y")


def test_file_without_names_is_read_by_place(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("0.1,1.1,a\n0.2,1.2,b\n")
    inputs, target = split_target(read_table(path, target=-1), -1)
    assert inputs.to_numpy().tolist() == [[0.1, 1.1], [0.2, 1.2]]
    assert target.tolist() == ["a", "b"]
    with pytest.raises(UsageError, match=r"looks like data, not names: '0.1,1.1,a'. .* target=2"):
        read_table(path, target="label")


def test_place_where_there_are_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("x,y\n0.1,1\n")
    with pytest.raises(UsageError, match="name the target, one of 'x', 'y'"):
        read_table(path, target=1)


def test_iso_dates_become_dates_and_other_text_does_not(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("day,moment,code,y\n2020-01-31,2020-01-31T10:00:00+01:00,2020-13-01,1\n,2021-02-01,2020-01-01,2\n")
    frame = read_table(path, target="y")
    assert frame["day"].iloc[0] == pd.Timestamp("2020-01-31", tz="UTC")
    assert frame["day"].isna().tolist() == [False, True]
    assert frame["moment"].iloc[0] == pd.Timestamp("2020-01-31 09:00", tz="UTC")
    assert frame["code"].tolist() == ["2020-13-01", "2020-01-01"]


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no file .*nothing\.csv"):
        read_table(tmp_path / "nothing.csv", target="y")
    with pytest.raises(UsageError, match="a folder; a path must end in"):
        read_table(tmp_path, target="y")
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    with pytest.raises(UsageError, match="no table that can be read here"):
        read_table(tmp_path / "x.xlsx", target="y")
    files = {
        "empty.csv": (b"", "is empty"),
        "latin.csv": ("x,y\nMünchen,1\n".encode("latin-1"), "not UTF-8 text .* at byte 5"),
        "ragged.csv": (b"x,y\n1,2\n1,2,3,4\n", "line 3"),
        "plain.csv.gz": (b"x,y\n1,2\n", "cannot be read"),
        "cut.csv.gz": (gzip.compress(b"x,y\n1,2\n" * 1000)[:-20], "cannot be read"),
    }
    for name, (content, message) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_table(tmp_path / name, target="y")


def test_target_column() -> None:
    frame = pd.DataFrame({"age": [1, 2], "price": [3, 4]})
    inputs, target = split_target(frame, "price")
    assert list(inputs) == ["age"]
    assert target.tolist() == [3, 4]
    with pytest.raises(UsageError, match=r"no column 'prize' for the target. Did you mean 'price'\?"):
        split_target(frame, "prize")
    with pytest.raises(UsageError, match=r"target=\.\.\., one of 'age', 'price'"):
        split_target(frame, None)
    with pytest.raises(DataError, match="several columns named 'a'"):
        split_target(pd.DataFrame([[1, 2, 3]], columns=["a", "a", "y"]), "y")

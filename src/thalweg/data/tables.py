"""Tables: files with separated values, and the parts of a DataFrame."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.data.columnar import read_parquet
from thalweg.errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

TargetName = str | int | Sequence[str | int] | None  # the target's column in a table, or several columns
SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
SEPARATORS = (",", ";", "\t")
ISO_DATE = r"\d{4}-\d{2}-\d{2}([T ].*)?"


def read_table(path: Path, *, target: TargetName) -> "pd.DataFrame":
    """The table in a file of separated values, or in a Parquet file.

    The separator is the one of `,` `;` and tab that parts the first lines into the most fields, equally many in each.
    The first line names the columns. A file without such a line is read with a number as `target`: the columns are
    then numbered from 0 (-1 is the last one). Text columns whose values are all ISO dates become dates.

    Raises:
        UsageError: for a path that does not exist or has another suffix.
        DataError: for a file that cannot be read as a table.
    """
    import pandas as pd

    if path.suffix.lower() == ".parquet" and path.exists():
        return read_parquet(path)
    text = read_text(path)
    lines = text[:65536].splitlines()[:20]
    if not lines:
        raise DataError(f"The file {path} is empty.")
    separator = sniff_separator(lines)
    first = next(csv.reader(lines[:1], delimiter=separator))
    named = not isinstance(target[0] if isinstance(target, list | tuple) and target else target, int)
    if not named and not any(map(is_number, first)):
        raise UsageError(
            f"target={target!r} is for a file without a line of column names, but {path.name} has one: "
            f"name the target, one of {', '.join(map(repr, first))}."
        )
    try:
        frame = pd.read_csv(io.StringIO(text), sep=separator, header=0 if named else None, low_memory=False)
    except (pd.errors.ParserError, ValueError) as error:
        raise DataError(
            f"The file {path} cannot be read as a table with separator {separator!r}: {str(error).strip()}. "
            "Repair the line, or read it with pandas and pass the DataFrame."
        ) from error
    if named and isinstance(target, str) and target not in frame and sum(map(is_number, first)) > len(first) / 2:
        raise UsageError(
            f"There is no column {target!r} in {path.name}, and its first line looks like data, not names: "
            f"{separator.join(first)[:80]!r}. Give the target's place instead: target={len(first) - 1}."
        )
    return parse_dates(frame)


def read_text(path: Path) -> str:
    """The text of a file, unpacked where it ends in `.gz`."""
    import gzip
    import zlib

    if not path.exists():
        raise UsageError(f"There is no file {path} (looked for in {Path.cwd()}).")
    if path.is_dir() or not path.name.lower().endswith(SUFFIXES):
        raise UsageError(
            f"{path} is {'a folder' if path.is_dir() else 'no table that can be read here'}; "
            f"a path must end in {', '.join(SUFFIXES)} or .parquet. Read other forms yourself and pass arrays or a "
            "DataFrame."
        )
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix.lower() == ".gz" else content).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"The file {path} is not UTF-8 text ({error.reason} at byte {error.start:,}). "
            "Read it with pandas.read_csv(path, encoding=...) and pass the DataFrame."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"The file {path} cannot be read: {error}.") from error


def sniff_separator(lines: list[str]) -> str:
    """The separator that parts all lines into the same, largest number of fields.

    >>> sniff_separator(["age;job", '58;"clerk, senior"', '44;"cook, junior"'])
    ';'
    """

    def fields(separator: str) -> tuple[bool, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        return len(set(counts)) == 1 and counts[0] > 1, counts[0] if counts else 0

    return max(SEPARATORS, key=fields)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def parse_dates(frame: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_string_dtype(column.dtype) and column.notna().any():
            given = column.dropna().astype(str)
            if given.str.fullmatch(ISO_DATE).all():
                dates = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
                if dates.isna().sum() == column.isna().sum():
                    frame[name] = dates
    return frame


def split_target(frame: "pd.DataFrame", target: TargetName) -> "tuple[pd.DataFrame, pd.Series[Any] | pd.DataFrame]":
    """The table without its target column, or columns, and that column, or a table of them.

    Raises:
        UsageError: where no target is named, or none of that name is there.
        DataError: where names are not unique, or nothing is left beside the target.
    """
    if target is None:
        raise UsageError(f"Say which column is the target: target=..., one of {name_columns(frame)}.")
    if not frame.columns.map(str).is_unique:
        twice = sorted(set(frame.columns[frame.columns.map(str).duplicated()].map(str)))
        raise DataError(f"The table has several columns named {', '.join(map(repr, twice))}; rename them.")
    several = not isinstance(target, str | int)
    names = [find_column(frame, name) for name in ([target] if isinstance(target, str | int) else target)]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"target={target!r} must name one column or several different ones.")
    if frame.shape[1] == len(names):
        raise DataError(f"The table has only the target column {target!r}; there is nothing to predict it from.")
    return frame.drop(columns=names), frame[names if several else names[0]]


def find_column(frame: "pd.DataFrame", name: str | int) -> Any:
    """A target's column by its name or place; a negative place counts from the end."""
    if isinstance(name, int) and name < 0 and name not in frame.columns and -name <= frame.shape[1]:
        return frame.columns[name]
    check_column(frame, name, what="the target")
    return name


def check_column(frame: "pd.DataFrame", name: str | int, *, what: str) -> None:
    """Raises `UsageError`, with the nearest name, where the table has no such column."""
    if name not in frame.columns:
        near = did_you_mean(str(name), [str(column) for column in frame.columns])
        raise UsageError(f"There is no column {name!r} for {what}.{near} The columns are: {name_columns(frame)}.")


def name_columns(frame: "pd.DataFrame", shown: int = 30) -> str:
    names = ", ".join(repr(name) for name in frame.columns[:shown])
    return names + (f" and {frame.shape[1] - shown} more" if frame.shape[1] > shown else "")

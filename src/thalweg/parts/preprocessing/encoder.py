"""Tables as numbers: a DataFrame's columns as numbers and codes, on the host, because text cannot enter a network.

The part `Table` says how the model's first module, `TablePreprocessing`, turns these into features.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

ColumnKind = Literal["number", "boolean", "datetime", "category"]
TRUTH = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column as the training rows showed it.

    Args:
        name: its name.
        kind: `"number"`, `"boolean"`, `"datetime"` or `"category"`.
        levels: a category's values as text, the most frequent first (ties in alphabetical order); a code is a place.
        missing: whether a value was missing.
    """

    name: str
    kind: ColumnKind
    levels: tuple[str, ...] = ()
    missing: bool = False


@dataclass(frozen=True)
class TableEncoder:
    """Encodes a DataFrame as a float64 tensor `[N, C]`, one entry per column.

    Numbers stay as they are (durations in seconds); booleans become 0 and 1; dates seconds since 1970 in UTC; text and
    categories the code of their level. Missing values, and levels that the training rows did not have, become NaN.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [30.0, None, 50.0], "job": ["cook", "clerk", "cook"]})
    >>> table = TableEncoder.fit(frame)
    >>> table.encode(pd.DataFrame({"job": ["clerk", "pilot"], "age": [20, 60]}))
    tensor([[20.,  1.],
            [60., nan]], dtype=torch.float64)
    >>> TableEncoder.from_json(table.to_json()) == table
    True
    """

    columns: tuple[TableColumn, ...]

    @classmethod
    def fit(cls, frame: "pd.DataFrame") -> "TableEncoder":
        """Learns kinds and levels from the training rows; never give it others.

        Raises:
            DataError: for no column, two columns of one name, or a column of values that are no numbers, text or dates.
        """
        names = [str(name) for name in frame.columns]
        if not names or len(set(names)) < len(names):
            twice = ", ".join(repr(name) for name, count in Counter(names).items() if count > 1)
            raise DataError(f"The table has several columns named {twice}." if twice else "The table has no columns.")
        return cls(tuple(describe_column(name, frame.iloc[:, i]) for i, name in enumerate(names)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def encode(self, frame: "pd.DataFrame") -> Tensor:
        """The table as a tensor `[N, C]`; columns are found by name, and further ones ignored.

        Raises:
            DataError: for a column that is missing, or whose values are no longer of the kind they had in training.
        """
        given = {str(name): i for i, name in enumerate(frame.columns)}
        for name in self.names:
            if name not in given:
                near = did_you_mean(name, tuple(given))
                raise DataError(
                    f"The table has no column {name!r}, which the training data had.{near} "
                    f"It needs: {', '.join(map(repr, self.names))}."
                )
        encoded = np.empty((len(frame), len(self.columns)))
        for i, column in enumerate(self.columns):
            encoded[:, i] = encode_column(column, frame.iloc[:, given[column.name]])
        return torch.from_numpy(encoded)

    def to_json(self) -> dict[str, Any]:
        return {"columns": [{**asdict(column), "levels": list(column.levels)} for column in self.columns]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TableEncoder":
        return cls(tuple(TableColumn(**{**column, "levels": tuple(column["levels"])}) for column in data["columns"]))


def describe_column(name: str, series: "pd.Series[Any]") -> TableColumn:
    kind = find_kind(name, series)
    counts = Counter[str]()
    if kind == "category":
        codes, texts = factorize(series)
        for text, count in zip(texts, np.bincount(codes[codes >= 0], minlength=len(texts)).tolist(), strict=True):
            counts[text] += count
    levels = tuple(sorted((text for text in counts if counts[text]), key=lambda text: (-counts[text], text)))
    return TableColumn(name, kind, levels, bool(series.isna().any()))


def find_kind(name: str, series: "pd.Series[Any]") -> ColumnKind:
    from pandas.api import types

    dtype = series.dtype
    if dtype.name == "category":
        return "category"
    if types.is_bool_dtype(dtype):
        return "boolean"
    if (types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype)) or types.is_timedelta64_dtype(dtype):
        return "number"
    if types.is_datetime64_any_dtype(dtype):
        return "datetime"
    inferred = types.infer_dtype(series, skipna=True)
    kinds: dict[str, ColumnKind] = {
        "string": "category",
        "boolean": "boolean",
        "integer": "number",
        "floating": "number",
        "mixed-integer-float": "number",
        "decimal": "number",
        "empty": "number",
        "date": "datetime",
        "datetime": "datetime",
        "datetime64": "datetime",
    }
    if inferred in kinds:
        return kinds[inferred]
    wrong = [value for value in series.dropna() if not isinstance(value, str | int | float)]
    if wrong or not inferred.startswith("mixed"):
        shown = type(wrong[0]).__name__ if wrong else inferred
        raise DataError(
            f"Column {name!r} holds values of type {shown}, which cannot be encoded. "
            "Turn them into numbers, text or dates, or drop the column."
        )
    return "category"


def factorize(series: "pd.Series[Any]") -> tuple[NDArray[np.int64], list[str]]:
    """A code per row, -1 where missing, and the text of each code."""
    codes, values = series.factorize()
    return codes, [str(value) for value in values]


def encode_column(column: TableColumn, series: "pd.Series[Any]") -> NDArray[np.float64]:
    import pandas as pd

    if column.kind == "category":
        places = {level: float(i) for i, level in enumerate(column.levels)}
        codes, texts = factorize(series)
        return np.array([*(places.get(text, np.nan) for text in texts), np.nan])[codes]  # code -1 takes the last one
    if column.kind == "boolean":
        values = series.astype(object).map(lambda value: TRUTH.get(str(value).lower(), np.nan))
    elif column.kind == "datetime":
        values = to_seconds(series)
    elif pd.api.types.is_timedelta64_dtype(series.dtype):
        values = series.dt.total_seconds()
    else:
        plain = series if pd.api.types.is_numeric_dtype(series.dtype) else series.astype(object)
        values = pd.to_numeric(plain, errors="coerce")
    encoded = values.to_numpy(dtype=np.float64, na_value=np.nan)
    refuse_other_kind(column, series, encoded)
    return encoded


def to_seconds(series: "pd.Series[Any]") -> "pd.Series[Any]":
    """Dates, or ISO text, as seconds since 1970 in UTC; NaN for what is none."""
    import pandas as pd
    from pandas.api import types

    if types.is_numeric_dtype(series.dtype):  # which pandas would take for nanoseconds
        return series.astype(object).map(lambda _: np.nan)
    text = types.infer_dtype(series, skipna=True) == "string"
    dates = pd.to_datetime(series, format="ISO8601" if text else None, utc=True, errors="coerce")
    return (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds()


def refuse_other_kind(column: TableColumn, series: "pd.Series[Any]", encoded: NDArray[np.float64]) -> None:
    """Raises `DataError` where a value is there but is none of the column's kind."""
    bad = np.flatnonzero(np.isnan(encoded) & series.notna().to_numpy())
    if len(bad):
        kind = {"number": "numbers", "boolean": "True and False", "datetime": "dates"}[column.kind]
        value = series.astype(object).iloc[bad[0]]
        raise DataError(
            f"Column {column.name!r} held {kind} in training and now holds {value!r} in row {bad[0]} "
            f"(counted from 0; {len(bad):,} such rows). Repair the values, or leave them empty as missing."
        )

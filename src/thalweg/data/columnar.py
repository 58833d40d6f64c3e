"""Tables of other makers than pandas: Parquet files, and polars frames, which are converted column by column."""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd


def read_parquet(path: Path) -> "pd.DataFrame":
    """The table in a Parquet file, or in a folder of them.

    Raises:
        UsageError: where pyarrow, which reads the format, is not installed.
        DataError: for a file that is damaged or no Parquet.
    """
    import pandas as pd

    try:
        importlib.import_module("pyarrow")
    except ImportError as error:
        raise UsageError(
            f"Reading {path.name} needs pyarrow, which is not installed: pip install 'thalweg[parquet]'. "
            "Or read it otherwise, with polars say, and pass the frame."
        ) from error
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:  # pyarrow's own errors are these
        why = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"The file {path} cannot be read as Parquet: {why}. It may be cut off, or of another format; write or copy "
            "it again."
        ) from error


def from_polars(value: Any) -> Any:
    """A polars DataFrame, LazyFrame or Series as the pandas object it corresponds to; any other value as it is.

    polars is not imported for users who do not use it, and pyarrow is not needed.
    """
    polars = sys.modules.get("polars")
    if polars is None:
        return value
    if isinstance(value, polars.LazyFrame):
        value = value.collect()
    if isinstance(value, polars.Series):
        return from_series(value)
    if not isinstance(value, polars.DataFrame):
        return value
    import pandas as pd

    columns = {name: from_series(value[name]) for name in value.columns}
    return pd.DataFrame(columns, index=range(value.height))


def from_series(series: Any) -> "pd.Series[Any]":
    """One column; missing values stay missing, whatever the type."""
    import pandas as pd
    import polars as pl

    dtype = series.dtype
    if dtype in (pl.Categorical, pl.Enum):
        return pd.Series(pd.Categorical(series.cast(pl.String).to_list()), name=series.name)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        utc = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return pd.Series(utc.to_numpy(), name=series.name).dt.tz_localize("UTC")
    if (dtype.is_numeric() and not dtype.is_decimal()) or dtype in (pl.Date, pl.Datetime, pl.Duration):
        return pd.Series(series.to_numpy(), name=series.name)
    return pd.Series(series.to_list(), dtype=object, name=series.name)

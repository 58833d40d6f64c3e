"""Targets as the user gives them: a tensor of numbers, or an array of labels that are not numbers."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data.arrays import describe, is_frame, is_series, list_rows, to_array, to_tensor
from thalweg.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Target = Tensor | NDArray[np.object_]


def to_target(value: Any) -> Target:
    """The target as a tensor of numbers, or as an object array of labels.

    Text and pandas categories become labels, a list of lists or sets of text an array of `frozenset`; everything else
    follows `to_tensor`.

    Raises:
        DataError: for missing values (with their rows), dates, and labels of mixed types.

    >>> to_target(["cat", "dog", "cat"])
    array(['cat', 'dog', 'cat'], dtype=object)
    >>> to_target([0, 1, 1])
    tensor([0, 1, 1])
    """
    if is_frame(value):
        return frame_target(value)
    if is_series(value):
        return series_target(value)
    if isinstance(value, Tensor) or (isinstance(value, list | tuple) and value and isinstance(value[0], Tensor)):
        return to_tensor(value, "The target")
    if isinstance(value, list | tuple) and are_label_sets(value):
        return label_sets(value)
    array = to_array(value, "The target")
    if array.dtype.kind in "US":
        # numpy turns a list such as ["a", 1, None] into text in silence: look at the values as they were given.
        array = array.astype(str) if isinstance(value, np.ndarray) else np.array(value, dtype=object)
    return object_target(array.astype(object)) if array.dtype.kind in "OU" else number_target(array)


def frame_target(frame: "pd.DataFrame") -> Target:
    if frame.shape[1] == 1:
        return series_target(frame.iloc[:, 0])
    refuse_missing(frame.isna().any(axis=1).to_numpy())
    if all(column.dtype.kind in "biuf" for _, column in frame.items()):  # pandas makes objects of booleans and numbers
        return number_target(np.column_stack([series_target(column) for _, column in frame.items()]))
    return number_target(frame.to_numpy())


def series_target(series: "pd.Series[Any]") -> Target:
    refuse_missing(series.isna().to_numpy())
    if series.dtype.name == "category":
        values = [plain(value) for value in series]  # of any type; dates and intervals are kept as text
        return labels([value if isinstance(value, str | int | float) else str(value) for value in values])
    if series.dtype.kind in "biuf":
        # pandas' own integers and booleans, which admit missing values, name numpy's type of the same width
        dtype: Any = series.dtype
        return number_target(series.to_numpy(dtype=getattr(dtype, "numpy_dtype", dtype)))
    return number_target(series.to_numpy()) if series.dtype.kind in "mM" else object_target(series.to_numpy(object))


def number_target(array: NDArray[Any]) -> Tensor:
    if array.dtype.kind in "mM":
        raise DataError("The target holds dates. Pass a number instead, for example days since a fixed date.")
    return to_tensor(array, "The target")


def object_target(array: NDArray[np.object_]) -> Target:
    """Numbers where all values are numbers or all are booleans, labels where all are text."""
    if array.ndim != 1:
        shape = list(array.shape)
        raise DataError(f"The target has shape {shape} and holds {describe(array)}; pass one label per row.")
    if are_label_sets(array):
        return label_sets(array)
    values = [plain(value) for value in array]
    refuse_missing(np.array([value is None or value != value for value in values], dtype=bool))
    types = {type(value) for value in values}
    if types == {str}:
        return labels(values)
    if types == {bool} or types <= {int, float}:
        return number_target(np.array(values))
    names = ", ".join(sorted(kind.__name__ for kind in types))
    raise DataError(f"The target holds values of type {names}; make them all text, all numbers or all True/False.")


def are_label_sets(values: Any) -> bool:
    """Whether each row has a list, tuple or set of texts, maybe an empty one."""
    if not all(isinstance(row, list | tuple | set | frozenset) for row in values):
        return False
    return any(map(len, values)) and all(isinstance(label, str) for row in values for label in row)


def label_sets(values: Any) -> NDArray[np.object_]:
    return labels([frozenset(map(str, row)) for row in values])


def labels(values: list[Any]) -> NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def plain(value: Any) -> Any:
    """A label as a plain Python value: numpy's scalars and text are converted, pandas' missing value becomes None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return str(value)
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def refuse_missing(missing: NDArray[np.bool_]) -> None:
    if missing.any():
        raise DataError(
            f"The target is missing in {list_rows(np.flatnonzero(missing))} (counted from 0; {missing.sum():,} of "
            f"{len(missing):,}). Leave these rows out. In a file, empty fields and the words NA, NaN, null and None "
            "are read as missing."
        )

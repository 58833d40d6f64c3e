"""Arrays and lists as tensors of numbers."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import DataError

# numpy's types that torch lacks or hardly computes in, and float64, which networks are not trained in by default.
CONVERTED = {"uint16": "int32", "uint32": "int64", "uint64": "int64", "float64": "float32", "longdouble": "float32"}


def list_rows(rows: Tensor | NDArray[Any], *, shown: int = 5) -> str:
    """`"row 3"`, or `"rows 3, 17 and 40 more"`.

    >>> list_rows(torch.tensor([3, 17, 20, 21]), shown=2)
    'rows 3, 17 and 2 more'
    """
    numbers = ", ".join(str(int(row)) for row in rows[:shown])
    more = f" and {len(rows) - shown:,} more" if len(rows) > shown else ""
    return f"row{'s' if len(rows) > 1 else ''} {numbers}{more}"


def to_tensor(value: Any, what: str) -> Tensor:
    """A tensor of numbers with the rows in dimension 0.

    Tensors keep their dtype. numpy's float64 and Python's floats become float32, which is what networks compute in
    (pass a float64 tensor to train in float64); float16, float32, bool, uint8 and signed integers stay as they are.

    Raises:
        DataError: for text, rows of different lengths, a sparse tensor or a single number; `what` names the value.

    >>> to_tensor([[0.5, 1.0], [2.0, 4.0]], "x").dtype, to_tensor(np.array([3, 4]), "x").dtype
    (torch.float32, torch.int64)
    """
    if isinstance(value, list | tuple) and value and isinstance(value[0], Tensor):
        value = stack(value, what)
    tensor = value.detach() if isinstance(value, Tensor) else from_numpy(to_array(value, what), what)
    if tensor.layout is not torch.strided:
        raise DataError(f"{what} is a sparse or jagged tensor ({tensor.layout}); pass a dense one (`.to_dense()`).")
    if tensor.dim() == 0:
        raise DataError(f"{what} is a single number, {tensor.item()!r}; pass one row per sample in dimension 0.")
    return tensor


def stack(values: Any, what: str) -> Tensor:
    try:
        return torch.stack(list(values))
    except (RuntimeError, TypeError) as error:
        raise DataError(f"The rows of {what} cannot be stacked ({error}). Pad or crop them to one shape.") from error


def to_array(value: Any, what: str) -> NDArray[Any]:
    if hasattr(value, "toarray"):
        raise DataError(f"{what} is a sparse matrix ({type(value).__name__}); pass a dense one (`.toarray()`).")
    try:
        return np.asarray(value)
    except ValueError as error:  # numpy's word for nested lists of different lengths
        raise DataError(f"The rows of {what} differ in shape ({error}). Pad or crop them to one shape.") from error


def from_numpy(array: NDArray[Any], what: str) -> Tensor:
    if array.dtype.kind not in "biufc":
        raise DataError(
            f"{what} holds {describe(array)}, not numbers. Pass a pandas DataFrame, whose columns of text and dates "
            "are encoded, or turn it into numbers first."
        )
    converted = CONVERTED.get(array.dtype.type.__name__, array.dtype.newbyteorder("="))
    array = array.astype(converted, copy=False)
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()  # torch shares memory only with writeable arrays of positive strides
    return torch.from_numpy(array)


def describe(array: NDArray[Any]) -> str:
    """What an array that is not of numbers holds, in a word or two."""
    if array.dtype.kind in "USmM":
        return "text" if array.dtype.kind in "US" else "dates"
    types = sorted({type(value).__name__ for value in array.ravel()[:1000]})
    return f"objects of type {', '.join(types)}"


def is_frame(value: object) -> bool:
    """Whether a value is a DataFrame; pandas is not imported for users who do not use it."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def is_series(value: object) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.Series)


def same_length(parts: Mapping[str, int]) -> int:
    """The number of rows that all parts share.

    Raises:
        DataError: where they differ, or where there is none.
    """
    counts = set(parts.values())
    if len(counts) > 1:
        given = ", ".join(f"{name} has {count:,}" for name, count in parts.items())
        raise DataError(f"Inputs and target must have the same number of rows, but {given}.")
    if counts == {0}:
        raise DataError(f"The data have no rows ({', '.join(parts)}).")
    return counts.pop()

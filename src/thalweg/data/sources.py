"""What the user gave, in one of three forms: tensors, a table, or a map-style Dataset, each with its target."""

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from thalweg.data.arrays import is_frame, is_series, same_length, to_tensor
from thalweg.data.datasets import check_map_style, dataset_targets, resident_tensors
from thalweg.data.rows import Inputs, tensors_of
from thalweg.data.tables import read_table, split_target
from thalweg.data.targets import Target, to_target
from thalweg.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

SourceInputs = Union[Inputs, "pd.DataFrame", Dataset[Any]]

FORMS = (
    "Pass (x, y) of tensors, arrays or lists, a DataFrame or a path to a CSV file with target=..., "
    "a TensorDataset, or a Dataset with __len__ and __getitem__ whose rows are pairs (x, y)."
)


@dataclass(frozen=True, eq=False)
class Source:
    """Data as the user gave them, before any split.

    Args:
        inputs: tensors with the rows in dimension 0; or a DataFrame without its target; or a Dataset.
        target: numbers as a tensor, labels of text as an object array; one entry per row.
    """

    inputs: SourceInputs
    target: Target

    def __len__(self) -> int:
        return len(self.target)


def read_source(data: Any, *, target: str | int | None = None) -> Source:
    """Brings what the user gave into one form.

    Args:
        data: one of
            `(x, y)`: tensors, numpy arrays, lists or pandas objects. x may also be a tuple or a dict of such, for
            models called `model(*x)` or `model(**x)`. numpy's float64 and Python's floats become float32; tensors
            keep their dtype, as do float16, uint8 and signed integers.
            a DataFrame, or the path of a `.csv`, `.tsv` or `.txt` file (also `.gz`): columns of mixed types with
            missing values; `target` names the column to predict. The separator is found among `,` `;` and tab.
            a `TensorDataset` of `(x, y)`, or a `Subset` of one: used as tensors.
            any Dataset with `__len__` and `__getitem__` whose rows are pairs `(x, y)`: read row by row while training;
            its targets are read once here.
        target: the target's column in a table; for a file without a line of names its place, counted from 0
            (-1 is the last).

    Raises:
        UsageError: for a form that is not one of these, a missing or unknown `target`.
        DataError: for lengths that differ, no rows, missing targets, a file that cannot be read.

    >>> source = read_source(([[0.0, 1.0], [2.0, 3.0]], ["no", "yes"]))
    >>> source.inputs.shape, list(source.target)
    (torch.Size([2, 2]), ['no', 'yes'])
    """
    if isinstance(data, str | PathLike):
        data = read_table(Path(data), target=target)
    if is_frame(data):
        return table_source(data, target)
    if target is not None:
        raise UsageError(
            f"target={target!r} names a column of a table, but the data are a {type(data).__name__}. "
            "Pass a DataFrame or a path, or leave target out."
        )
    refuse_unsupported(data)
    if (tensors := resident_tensors(data)) is not None:
        data = tensors
    if isinstance(data, tuple):
        return pair_source(data)
    check_map_style(data)
    same_length({f"the {type(data).__name__}": len(data)})
    return Source(data, dataset_targets(data))


def table_source(frame: "pd.DataFrame", target: str | int | None) -> Source:
    inputs, column = split_target(frame, target)
    same_length({"the table": len(frame)})
    return Source(inputs, to_target(column))


def refuse_unsupported(data: Any) -> None:
    """Raises `UsageError` where a form is not supported, with the one to pass instead."""
    kind = type(data).__name__
    if isinstance(data, DataLoader):
        raise UsageError(
            "A DataLoader is not supported here: the order and size of the batches belong to the plan "
            "(Plan(batch_size=...)). Pass its Dataset: train=loader.dataset."
        )
    if isinstance(data, IterableDataset | Iterator):
        raise UsageError(f"A {kind} can only be iterated, so it cannot be split, shuffled or sealed. {FORMS}")
    if isinstance(data, Tensor | dict) or is_series(data) or hasattr(data, "__array__") or data is None:
        raise UsageError(f"The data are a {kind} without a target. {FORMS}")
    if isinstance(data, list) and not (data and isinstance(data[0], tuple)):
        raise UsageError(f"A list is read as a Dataset, so its items must be pairs (x_i, y_i). {FORMS}")


def pair_source(data: tuple[Any, ...]) -> Source:
    if len(data) != 2:
        raise UsageError(
            f"A tuple must be (x, y); received {len(data)} items. Several inputs go into one tuple or dict, "
            "((x1, x2), y); other parts into validation=(x, y) and test=(x, y)."
        )
    x, y = data
    target = to_target(y)
    if is_frame(x):
        same_length({"the table": len(x), "the target": len(target)})
        return Source(x, target)
    inputs = to_inputs(x)
    lengths = {name_input(inputs, i): len(tensor) for i, tensor in enumerate(tensors_of(inputs))}
    same_length({**lengths, "the target": len(target)})
    return Source(inputs, target)


def to_inputs(x: Any) -> Inputs:
    """Inputs as a tensor, a tuple or a dict of tensors; see `to_tensor` for their dtypes."""
    if isinstance(x, dict):
        if not x or not all(isinstance(name, str) for name in x):
            raise DataError("A dict of inputs needs one entry per argument of the model, named by text.")
        return {name: to_tensor(value, f"input {name!r}") for name, value in x.items()}
    if isinstance(x, tuple):
        if not x:
            raise DataError("x is an empty tuple; it needs one tensor per argument of the model.")
        return tuple(to_tensor(value, f"input {i}") for i, value in enumerate(x))
    if isinstance(x, Dataset):
        raise UsageError(f"x is a {type(x).__name__}. Pass the Dataset itself as the data; its rows are pairs (x, y).")
    return to_tensor(x, "x")


def name_input(inputs: Inputs, index: int) -> str:
    """What an error calls one of the inputs: `"x"`, `"input 1"` or `"input 'image'"`."""
    if isinstance(inputs, torch.Tensor):
        return "x"
    return f"input {list(inputs)[index]!r}" if isinstance(inputs, dict) else f"input {index}"

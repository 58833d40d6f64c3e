"""The rows of one part: copied out of the user's data, checked and encoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor
from torch.utils.data import Dataset

from thalweg.data.arrays import is_frame
from thalweg.data.checks import check_finite
from thalweg.data.datasets import GuardedDataset
from thalweg.data.inputs import InputSpec
from thalweg.data.rows import AnyRows, DatasetRows, Part, Rows, head, map_inputs, take, tensors_of
from thalweg.data.sources import Source, name_input, read_source
from thalweg.data.tables import check_column
from thalweg.data.task import Task, encode_target
from thalweg.errors import DataError, UsageError
from thalweg.parts.preprocessing.table import TableEncoder

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class PartSource:
    """A part before it is copied out: the data it comes from, and which of their rows."""

    source: Source
    ids: Tensor


def is_table(inputs: object) -> "TypeGuard[pd.DataFrame]":
    return is_frame(inputs)


def take_columns(source: Source, *, groups: Any, time: Any) -> tuple[Source, Any, Any, list[str]]:
    """`groups` and `time` as values, where they name columns of a table; these columns are no inputs any more."""
    inputs, notes, values = source.inputs, [], []
    for what, key in (("groups", groups), ("time", time)):
        if not isinstance(key, str | int):
            values.append(key)
            continue
        if not is_table(source.inputs) or not is_table(inputs):
            raise UsageError(
                f"{what}={key!r} names a column, but the data are no table. Pass an array with one value per row."
            )
        check_column(source.inputs, key, what=what)
        values.append(source.inputs[key])
        inputs = inputs.drop(columns=key, errors="ignore")
        notes.append(f"column {str(key)!r} gives the {what} of the split and is no input")
    return Source(inputs, source.target), values[0], values[1], notes


def fit_table(source: Source, train: Tensor) -> TableEncoder | None:
    """The encoder of a table, fitted on its training rows; None for other data."""
    return TableEncoder.fit(source.inputs.iloc[train.numpy()]) if is_table(source.inputs) else None


def describe_inputs(source: Source, table: TableEncoder | None) -> InputSpec:
    """The form of the inputs, read from the first row."""
    if is_table(source.inputs):
        assert table
        return InputSpec.of(table.encode(source.inputs.iloc[:1]), table)
    if isinstance(source.inputs, Dataset):
        first = torch.zeros(1, dtype=torch.int64)
        return InputSpec.of(head(DatasetRows(source.inputs, first, first, "train"), 1).inputs)
    return InputSpec.of(map_inputs(lambda value: value[:1], source.inputs))


def read_part(data: Any, part: Part, *, target: str | int | None, spec: InputSpec) -> PartSource:
    """Validation or test data as the user gave them, in the form of the training data."""
    with naming(part):
        tabular = isinstance(data, str | PathLike) or is_frame(data)
        source = read_source(data, target=target if tabular else None)
        if isinstance(source.inputs, Dataset):
            if (own := describe_inputs(source, None)) != spec:
                raise DataError(f"A row of the Dataset is {own}; a row of the training data is {spec}.")
        elif spec.table is None:
            source = Source(spec.encode(source.inputs), source.target)
        elif not is_table(source.inputs):
            spec.encode(source.inputs)  # raises what it needs
        return PartSource(source, torch.arange(len(source)))


@contextmanager
def naming(part: Part) -> Iterator[None]:
    """Begins the message of an error with the part it is about."""
    try:
        yield
    except (DataError, UsageError) as error:
        raise type(error)(f"In the {part} data: {error}") from error


def make_rows(of_part: PartSource, part: Part, spec: InputSpec, task: Task) -> AnyRows:
    """The rows of one part, copied, so that no other part shares memory with them (L34)."""
    source, ids = of_part.source, of_part.ids
    target = encode_target(source.target, task).index_select(0, ids)
    if task.encoding in ("number", "zero-one"):
        double = "float64" in spec.dtypes and spec.table is None  # a network in float64 is compared with float64
        target = target.to(torch.float64 if double else torch.float32)
    if is_table(source.inputs):
        assert spec.table
        encoded = spec.table.encode(source.inputs.iloc[ids.numpy()])
        check_finite(encoded, ids, what="The table", columns=spec.table.names, missing_allowed=True)
        return Rows(encoded, target, ids, part)
    if isinstance(source.inputs, Dataset):
        return DatasetRows(GuardedDataset(source.inputs, ids, part=part), target, ids, part)
    inputs = take(source.inputs, ids)
    for i, tensor in enumerate(tensors_of(inputs)):
        check_finite(tensor, ids, what=name_input(inputs, i))
    return Rows(inputs, target, ids, part)

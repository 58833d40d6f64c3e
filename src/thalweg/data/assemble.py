"""The rows of one part: copied out of the user's data, checked and encoded."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.data.arrays import is_frame
from thalweg.data.checks import check_finite
from thalweg.data.datasets import GuardedDataset
from thalweg.data.inputs import InputSpec
from thalweg.data.rows import AnyRows, DatasetRows, Part, Rows, head, map_inputs, take, tensors_of
from thalweg.data.sources import Source, SourceInputs, name_input, read_source
from thalweg.data.tables import check_column
from thalweg.data.task import Task, class_codes, encode_target
from thalweg.errors import DataError, UsageError
from thalweg.parts.preprocessing.table import TableEncoder

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import TypeIs


@dataclass(frozen=True, eq=False)
class Encoded:
    """Data with their target as the loss takes it; `codes` are the class indices `[N]` where rows have one class."""

    inputs: SourceInputs
    target: Tensor
    codes: Tensor | None

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, eq=False)
class PartOf:
    """A part before it is copied out: the data it comes from, which of their rows, and whether the user gave it."""

    data: Encoded
    ids: Tensor
    given: bool = False


def encode_source(source: Source, task: Task) -> Encoded:
    return Encoded(source.inputs, encode_target(source.target, task), class_codes(source.target, task))


def is_table(inputs: object) -> "TypeIs[pd.DataFrame]":
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


def fit_table(inputs: SourceInputs, train: Tensor) -> TableEncoder | None:
    """The encoder of a table, fitted on its training rows; None for other data."""
    return TableEncoder.fit(inputs.iloc[train.numpy()]) if is_table(inputs) else None


def describe_inputs(inputs: SourceInputs, table: TableEncoder | None = None) -> InputSpec:
    """The form of the inputs, read from the first row."""
    if is_table(inputs):
        assert table
        return InputSpec.of(table.encode(inputs.iloc[:1]), table)
    if isinstance(inputs, Tensor | tuple | dict):
        return InputSpec.of(map_inputs(lambda value: value[:1], inputs))
    first = torch.zeros(1, dtype=torch.int64)
    return InputSpec.of(head(DatasetRows(GuardedDataset(inputs, first, part="train"), first, first, "train"), 1).inputs)


def read_part(data: Any, part: Part, *, target: str | int | None, spec: InputSpec, task: Task) -> PartOf:
    """Validation or test data as the user gave them, in the form of the training data."""
    with naming(part):
        tabular = isinstance(data, str | PathLike) or is_frame(data)
        source = read_source(data, target=target if tabular else None)
        inputs = source.inputs
        if isinstance(inputs, Tensor | tuple | dict) or (spec.table and not is_table(inputs)):
            inputs = spec.encode(inputs)
        elif not is_table(inputs) and (own := describe_inputs(inputs)) != spec:
            raise DataError(f"The Dataset has rows of {own}, the training data {spec}. Give both in the same form.")
        encoded = encode_source(Source(inputs, source.target), task)
        return PartOf(encoded, torch.arange(len(encoded)), given=True)


@contextmanager
def naming(part: Part) -> Iterator[None]:
    """Begins the message of an error with the part it is about."""
    try:
        yield
    except (DataError, UsageError) as error:
        raise type(error)(f"In the {part} data: {error}") from error


def make_rows(of: PartOf, part: Part, spec: InputSpec, task: Task) -> AnyRows:
    """The rows of one part, copied, so that no other part shares memory with them (L34)."""
    target = of.data.target.index_select(0, of.ids.to(of.data.target.device))
    if task.encoding in ("number", "zero-one"):
        double = "float64" in spec.dtypes and spec.table is None  # a network in float64 is compared with float64
        target = target.to(torch.float64 if double else torch.float32)
    with naming(part) if of.given else nullcontext():
        if is_table(of.data.inputs):
            assert spec.table
            encoded = spec.table.encode(of.data.inputs.iloc[of.ids.numpy()])
            check_finite(encoded, of.ids, what="The table", columns=spec.table.names, missing_allowed=True)
            return Rows(encoded, target, of.ids, part)
        if not isinstance(of.data.inputs, Tensor | tuple | dict):
            return DatasetRows(GuardedDataset(of.data.inputs, of.ids, part=part), target, of.ids, part)
        inputs = take(of.data.inputs, of.ids)
        for i, tensor in enumerate(tensors_of(inputs)):
            check_finite(tensor, of.ids, what=name_input(inputs, i))
        return Rows(inputs, target, of.ids, part)

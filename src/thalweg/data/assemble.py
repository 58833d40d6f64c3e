"""The rows of one part: copied out of the user's data, checked and encoded."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.data.arrays import is_frame
from thalweg.data.checks import check_finite
from thalweg.data.columnar import from_polars
from thalweg.data.datasets import GuardedDataset, GuardedItems
from thalweg.data.files import open_part
from thalweg.data.images import GuardedImages, ImageFolder, ImageForm
from thalweg.data.inputs import InputSpec
from thalweg.data.rows import Collate, DatasetRows, Inputs, Part, Rows, StepFunction, map_inputs, take, tensors_of
from thalweg.data.sample import read
from thalweg.data.sources import Source, SourceInputs, name_input, read_source
from thalweg.data.split import group_codes
from thalweg.data.stored import ArrayDataset, GuardedArrays, look_through
from thalweg.data.tables import TargetName, check_column
from thalweg.data.task import Task, class_codes, encode_target
from thalweg.data.unseen import widened
from thalweg.data.weights import find_sample_weights
from thalweg.errors import DataError, UsageError
from thalweg.parts.preprocessing.encoder import TableEncoder

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import TypeIs


@dataclass(frozen=True, eq=False)
class Encoded:
    """Data with their target as the loss takes it; `codes` are the class indices `[N]` where rows have one class.

    `collate` makes batches of the items of a Dataset whose rows are no pairs of tensors that can be stacked.
    """

    inputs: SourceInputs
    target: Tensor
    codes: Tensor | None
    collate: Collate | None = None

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, eq=False)
class PartOf:
    """A part before it is copied out: the data it comes from, which of their rows, whether the user gave it, and the
    weights and groups `[N]` of these rows where they have any of their own.
    """

    data: Encoded
    ids: Tensor
    given: bool = False
    weights: Tensor | None = None
    groups: Tensor | None = None

    @classmethod
    def of(cls, data: Encoded, ids: Tensor, weights: Tensor | None) -> "PartOf":
        """Some rows of data whose rows have these weights."""
        return cls(data, ids, weights=None if weights is None else weights[ids])


def encode_source(source: Source, task: Task) -> Encoded:
    known = task.classes if task.kind == "multilabel" else task.targets
    if source.names and known and source.names != known:
        raise DataError(
            f"The target's columns are {', '.join(map(repr, source.names))}; in the training data they are "
            f"{', '.join(map(repr, known))}. Give the same columns in the same order."
        )
    if source.example is not None or not source.labeled:  # the rows have no target by themselves
        return Encoded(source.inputs, torch.as_tensor(source.target), None, source.collate)
    target, codes = encode_target(source.target, task), class_codes(source.target, task)
    return Encoded(source.inputs, target, codes, source.collate)


def is_table(inputs: object) -> "TypeIs[pd.DataFrame]":
    return is_frame(inputs)


def take_columns(
    source: Source, *, groups: Any, time: Any, sample_weights: Any
) -> tuple[Source, Any, Any, Any, list[str]]:
    """`groups`, `time` and weights as values, where they name columns of a table; these are no inputs any more."""
    inputs, notes, values = source.inputs, [], []
    for what, key in (("groups", groups), ("time", time), ("sample weights", sample_weights)):
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
        use = what if what == "sample weights" else f"{what} of the split"
        notes.append(f"column {str(key)!r} gives the {use} and is no input")
    return replace(source, inputs=inputs), values[0], values[1], values[2], notes


def fit_table(inputs: SourceInputs, train: Tensor) -> TableEncoder | None:
    """The encoder of a table, fitted on its training rows; None for other data."""
    return TableEncoder.fit(inputs.iloc[train.numpy()]) if is_table(inputs) else None


def describe_inputs(
    inputs: SourceInputs, table: TableEncoder | None = None, collate: Collate | None = None
) -> InputSpec:
    """The form of the inputs, read from the first row; of items that are collated anything goes."""
    if collate is not None:
        return InputSpec("items", (), ())
    if is_table(inputs):
        assert table
        return InputSpec.of(table.encode(inputs.iloc[:1]), table)
    if isinstance(inputs, Tensor | tuple | dict):
        return InputSpec.of(map_inputs(lambda value: value[:1], inputs))
    first = torch.zeros(1, dtype=torch.int64)
    row = read(DatasetRows(GuardedDataset(inputs, first, part="train"), first, first, "train"), first)
    assert isinstance(row, Rows)
    return InputSpec.of(row.inputs)


def read_part(
    data: Any,
    part: Part,
    *,
    target: TargetName,
    spec: InputSpec,
    task: Task,
    sample_weights: Any = None,
    groups: Any = None,
    collate: Collate | None = None,
    step: StepFunction | None = None,
) -> PartOf:
    """Validation or test data as the user gave them, in the form of the training data, with columns of weights, and of
    groups where they have it.
    """
    with naming(part):
        data = from_polars(open_part(data, part, target=target, form=image_form(spec)))
        tabular = is_frame(data)
        source = read_source(data, target=target if tabular else None, collate=collate, step=step)
        inputs = source.inputs
        if spec.form == "batches":
            pass  # a DataLoader's batches differ in shape: what fits one is for the network to say
        elif isinstance(inputs, Tensor | tuple | dict) or (spec.table and not is_table(inputs)):
            inputs = spec.encode(inputs)
        elif not is_table(inputs) and (own := describe_inputs(inputs, collate=source.collate)) != spec:
            raise DataError(f"The Dataset has rows of {own}, the training data {spec}. Give both in the same form.")
        encoded = encode_source(replace(source, inputs=inputs), widened(task, source.target))
        weights = None
        if isinstance(sample_weights, str | int) and is_table(source.inputs):
            check_column(source.inputs, sample_weights, what="the sample weights")
            weights = find_sample_weights(source.inputs[sample_weights], len(encoded))
        codes = None
        if isinstance(groups, str | int) and is_table(source.inputs) and groups in source.inputs:
            codes = group_codes(source.inputs[groups], len(encoded))
        return PartOf(encoded, torch.arange(len(encoded)), given=True, weights=weights, groups=codes)


@contextmanager
def naming(part: Part) -> Iterator[None]:
    """Begins the message of an error with the part it is about."""
    try:
        yield
    except (DataError, UsageError) as error:
        raise type(error)(f"In the {part} data: {error}") from error


def make_rows(
    of: PartOf, part: Part, spec: InputSpec, task: Task, step: StepFunction | None = None
) -> Rows | DatasetRows:
    """The rows of one part, copied, so that no other part shares memory with them (L34); with weights and `step`."""
    return replace(copy_rows(of, part, spec, task), weights=of.weights, step=step)


def copy_rows(of: PartOf, part: Part, spec: InputSpec, task: Task) -> Rows | DatasetRows:
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
            if of.data.collate is not None:
                items = GuardedItems(of.data.inputs, of.ids, part=part)
                return DatasetRows(items, target, of.ids, part, collate=of.data.collate, task=task)
            if isinstance(of.data.inputs, ArrayDataset):
                return stored_rows(of.data.inputs, target, of.ids, part)
            guard = GuardedImages if isinstance(of.data.inputs, ImageFolder) else GuardedDataset
            return DatasetRows(guard(of.data.inputs, of.ids, part=part), target, of.ids, part)
        inputs = take(of.data.inputs, of.ids)
        for i, tensor in enumerate(tensors_of(inputs)):
            check_finite(tensor, of.ids, what=name_input(inputs, i))
        return Rows(inputs, target, of.ids, part)


def stored_rows(dataset: ArrayDataset, target: Tensor, ids: Tensor, part: Part) -> DatasetRows:
    """Rows that stay on disk, each looked at once: a pass over the file takes little more than its reading."""
    rows = DatasetRows(GuardedArrays(dataset, ids, part=part), target, ids, part)

    def check(inputs: Inputs, positions: Tensor) -> None:
        for i, tensor in enumerate(tensors_of(inputs)):
            check_finite(tensor, ids[positions], what=name_input(inputs, i))

    look_through(rows, check)
    return rows


def image_form(spec: InputSpec) -> ImageForm | None:
    """The form of images, where a row is one."""
    if spec.form != "tensor" or len(spec.shapes[0]) != 3:
        return None
    channels, height, width = spec.shapes[0]
    return ImageForm(height, width, channels)

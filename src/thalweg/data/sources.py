"""What the user gave, in one of three forms: tensors, a table, or a map-style Dataset, each with its target."""

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from thalweg.data.arrays import is_frame, is_series, same_length, to_tensor
from thalweg.data.collated import try_collate
from thalweg.data.columnar import from_polars
from thalweg.data.datasets import check_map_style, dataset_targets, is_small, read_item, resident_tensors
from thalweg.data.files import load, open_part
from thalweg.data.rows import Collate, Inputs, StepFunction, is_pair, tensors_of
from thalweg.data.stored import stored_dataset
from thalweg.data.tables import TargetName, split_target
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
        names: of the target's columns, where it has several that are named.
        collate: how items become batches, where they are no pairs of tensors that can be stacked.
        example: a target as batches have it, where the rows have none by themselves; `target` is zeros then.
        labeled: False where there is no target at all, which a step of the user's own allows; zeros then, too.
    """

    inputs: SourceInputs
    target: Target
    names: tuple[str, ...] = ()
    collate: Collate | None = None
    example: Target | None = None
    labeled: bool = True

    def __len__(self) -> int:
        return len(self.target)


def read_source(
    data: Any, *, target: TargetName = None, collate: Collate | None = None, step: StepFunction | None = None
) -> Source:
    """Brings what the user gave into one form.

    Args:
        data: one of
            `(x, y)`: tensors, numpy arrays, lists or pandas objects. x may also be a tuple or a dict of such, for
            models called `model(*x)` or `model(**x)`. numpy's float64 and Python's floats become float32; tensors
            keep their dtype, as do float16, uint8 and signed integers.
            a DataFrame of pandas or polars, or the path of a `.csv`, `.tsv` or `.txt` file (also `.gz`) or of a
            `.parquet`: columns of mixed types with missing values; `target` names the column to predict. The
            separator is found among `,` `;` and tab.
            the path of an `.npz` with x_train, y_train and so on, of a folder with MNIST's files, of a folder of
            images with one subfolder per class; `("x.npy", "y.npy")`. An array in a file of more than 512 MiB, also
            a `numpy.memmap`, stays there: its rows are read as they are needed.
            a `TensorDataset` of `(x, y)`, or a `Subset` of one: used as tensors.
            any Dataset with `__len__` and `__getitem__` whose rows are pairs `(x, y)`: read row by row while training;
            its targets are read once here.
        target: the target's column in a table; for a file without a line of names its place, counted from 0
            (-1 is the last).
        collate: a list of a Dataset's items -> a batch.
        step: the user's own, which takes batches of any form: items need be no pairs, arrays need no target.

    Raises:
        UsageError: for a form that is not one of these, a missing or unknown `target`.
        DataError: for lengths that differ, no rows, missing targets, a file that cannot be read.

    >>> source = read_source(([[0.0, 1.0], [2.0, 3.0]], ["no", "yes"]))
    >>> source.inputs.shape, list(source.target)
    (torch.Size([2, 2]), ['no', 'yes'])
    """
    if isinstance(data, str | PathLike):
        data = open_part(data, "train", target=target)
    data = from_polars(data)
    if is_frame(data):
        return table_source(data, target)
    if target is not None:
        raise UsageError(
            f"target={target!r} names a column of a table, but the data are a {type(data).__name__}. "
            "Pass a DataFrame or a path, or leave target out."
        )
    tensors = None if collate else resident_tensors(data)
    data = data if tensors is None else tensors
    if step is not None and collate is None and is_bare(data):
        return bare_source(data)
    refuse_unsupported(data)
    if isinstance(data, tuple):
        if collate is not None:
            raise UsageError("collate= puts the items of a Dataset together; arrays (x, y) need none. Leave it out.")
        return pair_source(data)
    check_map_style(data)
    same_length({f"the {type(data).__name__}": len(data)})
    if collate is None and (step is None or (is_pair(first := read_item(data, 0)) and is_small(first[1]))):
        return Source(data, dataset_targets(data))
    tried = try_collate(data, collate, step)
    if tried.target is not None:
        return Source(data, tried.target, collate=tried.collate)
    labeled = tried.example is not None
    return Source(data, torch.zeros(len(data)), collate=tried.collate, example=tried.example, labeled=labeled)


def is_bare(data: Any) -> bool:
    """Whether arrays come without a target: one, a dict of them, or a TensorDataset of other than two."""
    if isinstance(data, tuple):
        return len(data) != 2 and all(isinstance(value, Tensor) for value in data)
    return isinstance(data, Tensor | np.ndarray) or (isinstance(data, dict) and bool(data))


def bare_source(data: Any) -> Source:
    """Arrays of which a step of the user's own knows what to do with."""
    inputs = to_inputs(load(data))
    count = same_length({name_input(inputs, i): len(tensor) for i, tensor in enumerate(tensors_of(inputs))})
    return Source(inputs, torch.zeros(count), labeled=False)


def table_source(frame: "pd.DataFrame", target: TargetName) -> Source:
    inputs, column = split_target(frame, target)
    same_length({"the table": len(frame)})
    return Source(inputs, to_target(column), names_of(column))


def names_of(target: Any) -> tuple[str, ...]:
    """The names of a target's columns, where it is a table of several."""
    return tuple(map(str, target.columns)) if is_frame(target) and target.shape[1] > 1 else ()


def refuse_unsupported(data: Any) -> None:
    """Raises `UsageError` where a form is not supported, with the one to pass instead."""
    kind = type(data).__name__
    if isinstance(data, DataLoader):
        raise UsageError(
            "A DataLoader is not supported here: validation and test may be DataLoaders where train is one. Pass its "
            "Dataset, as in train=loader.dataset."
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
    x, y = load(data[0]), load(data[1])
    target = to_target(y)
    if is_frame(x):
        same_length({"the table": len(x), "the target": len(target)})
        return Source(x, target, names_of(y))
    if (stored := stored_dataset(x, target)) is not None:
        return Source(stored, target, names_of(y))
    inputs = to_inputs(x)
    lengths = {name_input(inputs, i): len(tensor) for i, tensor in enumerate(tensors_of(inputs))}
    same_length({**lengths, "the target": len(target)})
    return Source(inputs, target, names_of(y))


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

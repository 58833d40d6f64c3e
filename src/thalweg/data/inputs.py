"""The form of the inputs that a network was trained on, so that new ones are brought into it or refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from thalweg.data.arrays import is_frame
from thalweg.data.columnar import from_polars
from thalweg.data.rows import Inputs, map_inputs, tensors_of
from thalweg.data.sources import name_input, to_inputs
from thalweg.data.tables import read_table
from thalweg.errors import DataError, UsageError
from thalweg.parts.preprocessing.encoder import TableEncoder

Form = Literal["tensor", "tuple", "dict", "table", "items", "batches"]


@dataclass(frozen=True)
class InputSpec:
    """What one row of the inputs looks like; JSON both ways, so that a saved run can encode new data.

    Args:
        form: `"tensor"`, `"tuple"`, `"dict"` or `"table"`: how the model is called; `"items"` that a collate function
            puts together, or `"batches"` of a loader: of no fixed shape.
        shapes: the shape of one row of each tensor.
        dtypes: torch's names of their types, `"float32"`.
        names: the names of a dict's entries.
        table: the encoder of a table.

    >>> spec = InputSpec.of(torch.zeros(8, 3))
    >>> spec.encode([[1, 2, 3]])
    tensor([[1., 2., 3.]])
    >>> spec.encode([[1.0, 2.0]])
    Traceback (most recent call last):
    thalweg.errors.DataError: A row of x has the shape [2]; the network was trained on rows of shape [3].
    """

    form: Form
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    names: tuple[str, ...] = ()
    table: TableEncoder | None = None

    @classmethod
    def of(cls, inputs: Inputs, table: TableEncoder | None = None) -> "InputSpec":
        """The form of some inputs."""
        tensors = tensors_of(inputs)
        return cls(
            form="table" if table else form_of(inputs),
            shapes=tuple(tuple(tensor.shape[1:]) for tensor in tensors),
            dtypes=tuple(str(tensor.dtype).removeprefix("torch.") for tensor in tensors),
            names=tuple(inputs) if isinstance(inputs, dict) else (),
            table=table,
        )

    def encode(self, x: Any, *, any_length: bool = False) -> Inputs:
        """New inputs in the form of the training data.

        A table is encoded (further columns, such as the target, are ignored). Numbers take the training data's dtype;
        only floats where training had integers are refused, because images from 0 to 1 are not those from 0 to 255.

        Args:
            x: what the data's x was: a tensor, array or list, a tuple or dict of them, a DataFrame or path of a table.
            any_length: whether rows may have other sizes than in training, as sequences may.

        Raises:
            UsageError: for another form, or a missing entry.
            DataError: for another shape or type, or a column that is missing or holds other values.
        """
        x = from_polars(x)
        if self.table is not None:
            if isinstance(x, str | PathLike):
                nameless = all(name.isdigit() for name in self.table.names)  # a file without a line of names
                x = read_table(Path(x), target=-1 if nameless else None)
            if not is_frame(x):
                raise UsageError(
                    f"The network was trained on a table; received a {type(x).__name__}. Pass a DataFrame or a path to "
                    f"a CSV file with the columns {', '.join(self.table.names)}."
                )
            return self.table.encode(x)
        inputs = to_inputs(x)
        if form_of(inputs) != self.form:
            raise UsageError(f"The network was trained on a {self.form} of inputs; received a {type(x).__name__}.")
        if isinstance(inputs, dict):
            if set(inputs) != set(self.names):
                raise UsageError(f"The inputs need the entries {list(self.names)}; received {list(inputs)}.")
            inputs = {name: inputs[name] for name in self.names}
        tensors = tensors_of(inputs)
        if len(tensors) != len(self.shapes):
            raise UsageError(f"The network was trained on {len(self.shapes)} inputs; received {len(tensors)}.")
        fitted = iter([self._fit(name_input(inputs, i), i, t, any_length) for i, t in enumerate(tensors)])
        return map_inputs(lambda _: next(fitted), inputs)

    def _fit(self, name: str, index: int, tensor: Tensor, any_length: bool) -> Tensor:
        """One tensor in the training data's dtype; its shape must be the same, or have as many dimensions."""
        shape, dtype = list(self.shapes[index]), getattr(torch, self.dtypes[index])
        if list(tensor.shape[1:]) != shape and not (any_length and tensor.dim() == len(shape) + 1):
            hint = " Pass a batch: one row is x[None]." if list(tensor.shape) == shape else ""
            received = list(tensor.shape[1:])
            raise DataError(
                f"A row of {name} has the shape {received}; the network was trained on rows of shape {shape}.{hint}"
            )
        if not torch.can_cast(tensor.dtype, dtype):
            raise DataError(
                f"{name} is of {tensor.dtype}; the network was trained on {dtype}. Pass the values as they were in "
                "training (images from 0 to 255, not from 0 to 1, for example)."
            )
        return tensor.to(dtype)

    def __str__(self) -> str:
        """What one row is, for a message: `"tensor (float32 [3])"`."""
        tensors = ", ".join(f"{d} {list(shape)}" for d, shape in zip(self.dtypes, self.shapes, strict=True))
        return f"{self.form} ({tensors})"

    def to_json(self) -> dict[str, Any]:
        return {
            "form": self.form,
            "shapes": [list(shape) for shape in self.shapes],
            "dtypes": list(self.dtypes),
            "names": list(self.names),
            "table": self.table.to_json() if self.table else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "InputSpec":
        return cls(
            form=data["form"],
            shapes=tuple(tuple(shape) for shape in data["shapes"]),
            dtypes=tuple(data["dtypes"]),
            names=tuple(data["names"]),
            table=TableEncoder.from_json(data["table"]) if data["table"] else None,
        )


def form_of(inputs: Inputs) -> Form:
    if isinstance(inputs, Tensor):
        return "tensor"
    return "dict" if isinstance(inputs, dict) else "tuple"

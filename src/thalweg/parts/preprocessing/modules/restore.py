"""Fitted modules from their state and form, also as former versions wrote them: no pickle."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import StoreError
from thalweg.parts.preprocessing.encoder import TableColumn, TableEncoder
from thalweg.parts.preprocessing.modules.affine import Affine, TargetScale
from thalweg.parts.preprocessing.modules.each import Each, InTurn
from thalweg.parts.preprocessing.modules.fitted import Fitted, Keep
from thalweg.parts.preprocessing.modules.projection import Projection
from thalweg.parts.preprocessing.modules.row_standardize import RowStandardize
from thalweg.parts.preprocessing.modules.signed_log import SignedLog
from thalweg.parts.preprocessing.modules.table import TablePreprocessing, integers
from thalweg.parts.preprocessing.modules.target import Target
from thalweg.parts.preprocessing.modules.yeo_johnson import YeoJohnson

FORMER_LEVELS = 50  # of a category, at most
KINDS: tuple[type[Fitted], ...] = (Affine, Keep, Projection, RowStandardize, SignedLog, TargetScale, YeoJohnson)


def restore(state: Mapping[str, Tensor], form: Mapping[str, Any] | str | list[str]) -> Any:
    """The module whose `state_dict()` and `form` these are.

    Args:
        state: tensors by name.
        form: JSON; of runs before there were other parts than standardizing a text, or a dict's names.

    Raises:
        StoreError: for a form that a later version wrote.

    >>> module = YeoJohnson(torch.tensor([0.5]))
    >>> restore(module.state_dict(), module.form)(torch.tensor([[3.0]]))
    tensor([[2.]])
    """
    if not isinstance(form, Mapping):
        form = former(form, len(state) // 3)
    options = dict(form)
    kind = options.pop("module", None)
    if kind in ("Each", "InTurn"):
        parts = [restore(under(state, f"parts.{i}."), part) for i, part in enumerate(options["parts"])]
        names = options.get("names")
        return InTurn(parts) if kind == "InTurn" else Each(parts, None if names is None else tuple(names))
    if kind == "TablePreprocessing":
        numbers = restore(under(state, "numbers."), options["numbers"])
        return TablePreprocessing(tuple(options["names"]), numbers, copied(state))
    if kind == "Target":
        return Target(restore(under(state, "part."), options["part"]), column=options["column"])
    found = next((known for known in KINDS if known.__name__ == kind), None)
    if found is None:
        raise StoreError(f"The preprocessing holds a {kind!r}, which this version does not know. Install a later one.")
    return keeping_dtypes(found(**state, **options), state)


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of one's own: those of a checkpoint are mapped from its file."""
    return {name: value.clone() for name, value in state.items()}


def keeping_dtypes(module: Any, state: Mapping[str, Tensor]) -> Any:
    """The module with exactly the state's tensors, also where it had been cast."""
    for name, value in copied(state).items():
        module.register_buffer(name, value)
    return module


def under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The part of a state below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def former(form: str | list[str], count: int) -> dict[str, Any]:
    """The form that runs had when every tensor of the inputs was standardized."""
    affine = {"module": "Affine"}
    if form == "tensor":
        return affine
    return {"module": "Each", "names": None if form == "tuple" else list(form), "parts": [affine] * count}


def restore_former_table(state: Mapping[str, Tensor], encoder: TableEncoder) -> TablePreprocessing:
    """The module of a run that was made when every table was standardized, with one-hot categories."""
    scale = state["scale"]  # 1 / standard deviation, 0 of a constant column
    varies = scale != 0
    none = integers([])
    tensors = {
        **{name: state[name].clone() for name in ("numeric", "categorical", "kept", "indicated", "owner", "level")},
        **{"looked": none, "offset": none, "indexed": none, "lookup": torch.zeros(0, dtype=torch.float64)},
        **{"fill": torch.where(varies, state["median"], 0.0), "varies": varies},
    }
    mean = torch.where(varies, state["mean"], 0.0)
    numbers = Affine(mean, 1 / torch.where(varies, scale, 1.0))
    return TablePreprocessing(former_names(encoder), numbers, tensors)


def former_names(encoder: TableEncoder) -> tuple[str, ...]:
    numeric = [column for column in encoder.columns if column.kind != "category"]
    names = [column.name for column in numeric]
    names += [f"{column.name} is missing" for column in numeric if column.missing]
    for column in encoder.columns:
        if column.kind == "category":
            names += [f"{column.name}={level}" for level in (*column.levels[: former_kept(column)], "other")]
    return tuple(names)


def former_kept(column: TableColumn) -> int:
    return len(column.levels) if len(column.levels) <= FORMER_LEVELS else FORMER_LEVELS - 1

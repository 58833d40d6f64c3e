"""The first module of a model on a table: codes and numbers in, features out."""

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from thalweg.data.rows import Rows
from thalweg.data.seal import require_training
from thalweg.parts.preprocessing.chain import Chain
from thalweg.parts.preprocessing.encoder import TableColumn, TableEncoder
from thalweg.parts.preprocessing.modules.fitted import Fitted, Keep
from thalweg.parts.preprocessing.modules.projection import Projection
from thalweg.parts.preprocessing.preparation import PerColumn, Preparation
from thalweg.parts.preprocessing.table import Table

BUFFERS = (
    "numeric", "categorical", "kept", "looked", "offset", "lookup", "fill", "varies", "indicated", "owner", "level",
    "indexed",
)  # fmt: skip


class TablePreprocessing(nn.Module):
    """Turns `[N, C]` float64 of a `TableEncoder` into features `[N, D]` float32; see `Table`, which fits it.

    All it knows is in buffers, so that it travels with the model and its exports; text is encoded before it.

    Args:
        names: of the features.
        numbers: what prepares the filled numbers.
        tensors: by name: places of the `numeric` and the `categorical` columns; levels `kept` of each category; which
            categories are `looked` up, the `offset` of each in the `lookup`; what the numbers are `fill`ed with, which
            of them `varies` (a constant one is 0), which have their missing values `indicated`; for one-hot
            columns the category that is the `owner`, and its `level`; the categories that are `indexed`.
    """

    numeric: Tensor
    categorical: Tensor
    kept: Tensor
    looked: Tensor
    offset: Tensor
    lookup: Tensor
    fill: Tensor
    varies: Tensor
    indicated: Tensor
    owner: Tensor
    level: Tensor
    indexed: Tensor

    def __init__(self, names: tuple[str, ...], numbers: Fitted, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.names, self.numbers = names, numbers
        for name in BUFFERS:
            self.register_buffer(name, tensors[name])

    def forward(self, x: Tensor) -> Tensor:
        codes = x.index_select(1, self.categorical)
        codes = torch.where(codes.isnan() | (codes >= self.kept), self.kept, codes).long()
        numbers = torch.cat([x.index_select(1, self.numeric), self.looked_up(codes)], 1)
        missing = numbers.isnan()
        numbers = torch.where(missing | ~self.varies, self.fill, numbers)
        indicators = missing.index_select(1, self.indicated).float()
        one_hot = (codes.index_select(1, self.owner) == self.level).float()
        return torch.cat([self.numbers(numbers), indicators, one_hot, codes.index_select(1, self.indexed).float()], 1)

    def looked_up(self, codes: Tensor) -> Tensor:
        """The number `[N, K]` that stands for each category that is looked up."""
        places = codes.index_select(1, self.looked) + self.offset
        return self.lookup[places]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many places each category has that is passed on as an index, "other" included."""
        return tuple(int(count) + 1 for count in self.kept[self.indexed])

    @property
    def form(self) -> dict[str, Any]:
        """What `restore_table` needs beside the state, as JSON."""
        return {"module": "TablePreprocessing", "names": list(self.names), "numbers": self.numbers.form}

    @property
    def report(self) -> str:
        return self.numbers.told(() if has_components(self.numbers) else self.names[: len(self.varies)])


def fit_table(part: Table, rows: Rows, encoder: TableEncoder) -> TablePreprocessing:
    """Measures the training rows `[N, C]` that the encoder made; raises `DataError` for others (L34)."""
    require_training(rows, part.title)
    x = cast(Tensor, rows.inputs).double()
    numeric = [i for i, column in enumerate(encoder.columns) if column.kind != "category"]
    categorical = [i for i, column in enumerate(encoder.columns) if column.kind == "category"]
    counts = [level_counts(x[:, i], len(encoder.columns[i].levels)) for i in categorical]
    kept = [num_kept(part, count) for count in counts]
    everyone = list(range(len(categorical)))
    looked = everyone if part.categories in ("ordinal", "frequency") else []
    tables = [lookup_of(part, encoder.columns[categorical[i]], counts[i], kept[i], len(x)) for i in looked]
    slots = [(i, level) for i in everyone for level in range(kept[i] + 1)] if part.categories == "onehot" else []
    tensors = {
        "numeric": integers(numeric),
        "categorical": integers(categorical),
        "kept": integers(kept),
        "looked": integers(looked),
        "offset": integers([sum(len(t) for t in tables[:i]) for i in range(len(tables))]),
        "lookup": torch.cat(tables) if tables else torch.zeros(0, dtype=torch.float64),
        "fill": torch.zeros(len(numeric) + len(looked), dtype=torch.float64),
        "varies": torch.ones(len(numeric) + len(looked), dtype=torch.bool),
        "owner": integers([i for i, _ in slots]),
        "level": integers([level for _, level in slots]),
        "indexed": integers(everyone if part.categories == "index" else []),
        "indicated": integers([]),
    }
    module = TablePreprocessing((), Keep(), tensors)
    numbers = fit_numbers(part, module, x)
    module.numbers = fitted_numbers(part.numbers, Rows(numbers, rows.target, rows.ids, rows.part))
    module.names = feature_names(part, encoder, module)
    return module


def fit_numbers(part: Table, module: TablePreprocessing, x: Tensor) -> Tensor:
    """Sets what fills the numbers of the training rows, and returns them filled."""
    codes = x.index_select(1, module.categorical)
    codes = torch.where(codes.isnan() | (codes >= module.kept), module.kept, codes).long()
    numbers = torch.cat([x.index_select(1, module.numeric), module.looked_up(codes)], 1)
    missing = numbers.isnan()
    for i, column in enumerate(numbers.unbind(1)):
        module.fill[i] = filling(part, column[~missing[:, i]])
    filled = torch.where(missing, module.fill, numbers)
    if len(filled):
        module.varies = filled.amin(0) < filled.amax(0)
    module.fill[~module.varies] = 0  # which every part leaves at 0 exactly
    if part.indicator:
        module.indicated = missing.any(0).nonzero().flatten()
    return torch.where(missing | ~module.varies, module.fill, numbers)


def filling(part: Table, known: Tensor) -> float:
    """What stands for a missing value of a column; 0 where none is known."""
    if not isinstance(part.missing, str):
        return float(part.missing)
    if not len(known):
        return 0.0
    if part.missing == "mean":
        return float(known.mean())
    known = known.sort().values
    return float(known[[(len(known) - 1) // 2, len(known) // 2]].mean())


def fitted_numbers(part: Preparation | None, rows: Rows) -> Fitted:
    if part is None or not cast(Tensor, rows.inputs).shape[1]:
        return Keep()
    fitted = by_column(part).fit(rows)
    assert isinstance(fitted, Fitted)
    return fitted


def by_column(part: Preparation) -> Preparation:
    """The part, for each column by itself where it would choose: a table's columns have units of their own."""
    if isinstance(part, Chain):
        return Chain(*map(by_column, part.parts))
    return replace(part, per="column") if isinstance(part, PerColumn) and part.per == "auto" else part


def level_counts(codes: Tensor, num_levels: int) -> Tensor:
    """`[levels]`: the training rows that each level has."""
    return torch.bincount(codes[~codes.isnan()].long(), minlength=num_levels)


def num_kept(part: Table, counts: Tensor) -> int:
    """The number of levels with a place of their own; the most frequent come first."""
    frequent = int((counts >= part.min_rows).sum())
    return frequent if len(counts) <= part.max_levels else min(frequent, part.max_levels - 1)


def lookup_of(part: Table, column: TableColumn, counts: Tensor, kept: int, num_rows: int) -> Tensor:
    """`[kept + 1]` float64: the number for each level, and for "other"."""
    if part.categories == "frequency":
        own = counts[:kept].double() / max(num_rows, 1)
        return torch.cat([own, (1 - own.sum()).clamp(min=0)[None]])
    order = sorted(column.levels[:kept], key=order_key(column.levels[:kept]))
    places = {level: float(place) for place, level in enumerate(order)}
    return torch.tensor([*(places[level] for level in column.levels[:kept]), float("nan")], dtype=torch.float64)


def order_key(levels: tuple[str, ...]) -> Any:
    """Sorts numbers by size, anything else by alphabet."""
    try:
        list(map(float, levels))
    except ValueError:
        return str
    return float


def feature_names(part: Table, encoder: TableEncoder, module: TablePreprocessing) -> tuple[str, ...]:
    """What each feature is."""
    categories = [encoder.columns[i] for i in module.categorical.tolist()]
    names = [encoder.columns[i].name for i in module.numeric.tolist()]
    names += [f"{categories[i].name} ({part.categories})" for i in module.looked.tolist()]
    missing = [f"{names[i]} is missing" for i in module.indicated.tolist()]
    if has_components(module.numbers):
        width = module.numbers(torch.zeros(1, len(names), dtype=torch.float64)).shape[1]
        names = [f"component {i + 1}" for i in range(width)]
    for owner, level in zip(module.owner.tolist(), module.level.tolist(), strict=True):
        own = categories[owner].levels[: int(module.kept[owner])]
        missing.append(f"{categories[owner].name}={(*own, 'other')[level]}")
    return (*names, *missing, *(f"{categories[i].name} (index)" for i in module.indexed.tolist()))


def has_components(numbers: Fitted) -> bool:
    """Whether directions took the place of the columns."""
    return any(isinstance(part, Projection) and part.flat for part in numbers.modules())


def integers(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)

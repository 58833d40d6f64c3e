"""What is measured of the data themselves, on samples: columns, near duplicates, groups, order."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from thalweg.data.noise import global_rng_kept
from thalweg.data.prepare import Prepared
from thalweg.data.rows import AnyRows, BatchRows, DatasetRows, Rows, StreamRows
from thalweg.data.sample import spread
from thalweg.measure.data_columns import describe_columns, telling_column
from thalweg.measure.data_groups import Table, group_leak, is_id, is_time, time_leak
from thalweg.measure.data_near import MOST_ROWS, near_duplicates
from thalweg.measure.data_noise import repeated_noise
from thalweg.measure.data_order import describe_order
from thalweg.readings import Reading

SAMPLE = 2000  # rows whose columns are looked at
MOST_VALUES = 2**22  # of rows that are compared with one another


def describe_data(prepared: Prepared, *, batch_size: int, workers: int = 0) -> list[Reading]:
    """Readings of the data as the user gave them, before any preparation, in well below a second."""
    with global_rng_kept():
        readings = of_order(prepared.train, batch_size, labeled=bool(prepared.task.classes))
        readings += of_noise(prepared.train, workers)
        if isinstance(prepared.train, Rows) and isinstance(prepared.train.inputs, Tensor):
            readings += of_columns(prepared, prepared.train) + of_neighbors(prepared.train, prepared.validation)
            readings += of_relatives(prepared, prepared.train, prepared.validation)
    return readings


def of_order(rows: AnyRows, batch_size: int, *, labeled: bool) -> list[Reading]:
    """Of rows that keep an order of their own."""
    if not isinstance(rows, BatchRows | StreamRows) or rows.step is not None or not labeled:
        return []
    if rows.target.dim() != 1 or (rows.target.is_floating_point() and not bool((rows.target % 1 == 0).all())):
        return []
    if isinstance(rows, BatchRows):
        if isinstance(rows.batches, list):  # these are fed in another order each epoch
            return []
        sizes = list(rows.sizes)
    else:
        full, rest = divmod(len(rows.target), batch_size)
        sizes = [batch_size] * full + [rest] * (rest > 0)
    return describe_order(rows.target.cpu(), sizes)


def of_noise(rows: AnyRows, workers: int) -> list[Reading]:
    """Of a Dataset that processes read: ours, or those of the user's own DataLoader.

    A single process of a DataLoader repeats its noise where it is started anew for each epoch.
    """
    if isinstance(rows, DatasetRows):
        return repeated_noise(rows.dataset, int(rows.ids[0]), workers=workers) if workers > 1 else []
    loader = getattr(rows, "batches", None)
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset) or loader.worker_init_fn:
        return []
    single = loader.num_workers < 2 and loader.persistent_workers
    return [] if single else repeated_noise(loader.dataset, 0, workers=loader.num_workers)


def of_columns(prepared: Prepared, rows: Rows) -> list[Reading]:
    assert isinstance(rows.inputs, Tensor)
    if rows.inputs.dim() != 2:
        return []
    some = spread(rows, SAMPLE)
    assert isinstance(some, Rows)
    assert isinstance(some.inputs, Tensor)
    values = some.inputs
    if prepared.table is not None:
        values = torch.where(values.isnan(), values.nanmean(0), values)  # as a missing value enters, about
    kind, target = prepared.task.kind, some.target
    readings = describe_columns(values, prepared.columns)
    target = target[:, 0] if target.dim() == 2 and target.shape[1] == 1 else target
    if kind in ("binary", "multiclass", "regression") and rows.step is None:
        readings += telling_column(values, target, classes=kind != "regression", names=prepared.columns)
    return readings


def of_neighbors(train: Rows, held: AnyRows) -> list[Reading]:
    if not isinstance(held, Rows) or not isinstance(held.inputs, Tensor) or not isinstance(train.inputs, Tensor):
        return []
    if (
        not train.inputs.is_floating_point()
        or train.inputs.dim() < 2
        or train.inputs.shape[1:] != held.inputs.shape[1:]
    ):
        return []
    most = min(MOST_ROWS, max(MOST_VALUES // max(train.inputs[:1].numel(), 1), 1))
    one, other = spread(train, most), spread(held, max(most // 2, 1))
    assert isinstance(one, Rows)
    assert isinstance(other, Rows)
    return near_duplicates(flat(one), flat(other), one.ids, other.ids, of=len(train))


def of_relatives(prepared: Prepared, train: Rows, held: AnyRows) -> list[Reading]:
    """Of a table that was split at random: columns that say which rows belong together, by an id or in time."""
    table, kind = prepared.table, prepared.task.kind
    random = prepared.split["method"] in ("random", "stratified") and "validation" not in prepared.split["given"]
    if table is None or not random or kind not in ("binary", "multiclass", "regression"):
        return []
    if not isinstance(held, Rows) or train.target.numel() != len(train) or held.target.numel() != len(held):
        return []
    one, other = (Table(values_of(rows), rows.target.cpu().reshape(-1)) for rows in (train, held))
    categories = torch.tensor([column.kind == "category" for column in table.columns])
    alike: dict[str, Any] = {"categories": categories, "classes": kind != "regression"}
    found = [Reading("split.random", 1.0)]
    for place, column in enumerate(table.columns):
        if column.kind == "datetime" or (column.kind == "number" and is_time(column.name)):
            found += time_leak(one, other, place, column.name, **alike)
        elif column.kind in ("number", "category") and is_id(column.name):
            found += group_leak(one, other, place, column.name, **alike)
    return found


def values_of(rows: Rows) -> Tensor:
    assert isinstance(rows.inputs, Tensor)
    return rows.inputs.detach().double().cpu()


def flat(rows: Rows) -> Tensor:
    assert isinstance(rows.inputs, Tensor)
    return rows.inputs.flatten(1).float().cpu()

"""From what the user gave to the parts that are trained on, validated on, and sealed."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thalweg.data.assemble import (
    Encoded,
    PartOf,
    describe_inputs,
    encode_source,
    fit_table,
    make_rows,
    read_part,
    take_columns,
)
from thalweg.data.checks import check_counts
from thalweg.data.inputs import InputSpec
from thalweg.data.rows import AnyRows, Inputs, Part
from thalweg.data.seal import Seal
from thalweg.data.sources import read_source
from thalweg.data.split import Split, split_rows
from thalweg.data.task import Task, infer_task
from thalweg.errors import UsageError
from thalweg.parts.preprocessing.table import TableEncoder

SHARES = {"validation": 0.15, "test": 0.2}  # of the rows of `train`, where the user gives neither data nor a share
SEAL_LOG = "seal.jsonl"


@dataclass(frozen=True, eq=False)
class Prepared:
    """The data of an experiment.

    Args:
        train: the rows to train on; whatever is fitted is fitted on these.
        validation: the rows that choose the epoch and the threshold.
        test: the sealed rows, or None where there are none.
        task: what is to be predicted.
        table: the encoder of a table, fitted on the training rows; None for other data.
        columns: the names of a table's input columns; empty for other data.
        spec: the form of the inputs, which encodes new ones.
        split: JSON values: `method`, `summary`, `seed`, `given` (parts that the user gave), `rows` per part, `classes`
            (label as text -> rows per part; empty for a regression), `notes` (short texts worth telling).
        description: one line: `"1,168/270 rows, 359 sealed"`.
    """

    train: AnyRows
    validation: AnyRows
    test: Seal | None
    task: Task
    table: TableEncoder | None
    columns: tuple[str, ...]
    spec: InputSpec
    split: dict[str, Any]
    description: str

    def encode_inputs(self, x: Any) -> Inputs:
        """New inputs in the form of the training data; see `InputSpec.encode`."""
        return self.spec.encode(x)


def prepare(
    train: Any,
    *,
    validation: Any = None,
    test: Any = None,
    loss_name: str | None,
    task: str | None = None,
    target: str | int | None = None,
    groups: Any = None,
    time: Any = None,
    seed: int = 0,
    directory: str | PathLike[str],
) -> Prepared:
    """Reads, checks, splits and seals the data of an experiment.

    Args:
        train: the data; see `read_source` for the forms.
        validation: data of the same form; or a share of the rows of `train`, 0.15 by default.
        test: data of the same form; or a share of the rows of `train`, 0.2 by default; False for none. Test rows are
            copied out of `train` and sealed (L34).
        loss_name: the loss; None for a callable of the user's own.
        task: `"binary"`, `"multiclass"` or `"regression"`, where it should not be inferred; see `infer_task`.
        target: the target's column in a table.
        groups: one key per row of `train`, or a column of the table: rows of one group stay in one part.
        time: one time per row of `train`, or a column of the table: the latest rows become test, those before them
            validation. A column that groups or orders is no input.
        seed: decides the split.
        directory: the folder of the seal's log.

    Raises:
        UsageError: for arguments that contradict each other.
        DataError: for data that cannot be used: inputs or targets that are not finite (a table's missing values are
            fine), labels that training lacks, an empty part or one of a single class.

    >>> import tempfile
    >>> x, y = torch.randn(200, 4), torch.arange(200) % 2
    >>> data = prepare((x, y), loss_name="cross_entropy", directory=tempfile.mkdtemp())
    >>> data.description, data.task.kind, data.split["method"]
    ('130/30 rows, 40 sealed', 'binary', 'stratified')
    """
    shares = {part: find_share(part, value) for part, value in (("validation", validation), ("test", test))}
    refuse_contradictions(train, {"validation": validation, "test": test}, shares, groups=groups, time=time)
    whole = read_source(train, target=target)
    found = infer_task(whole.target, loss_name=loss_name, task=task)
    source, groups, time, notes = take_columns(whole, groups=groups, time=time)
    data = encode_source(source, found)
    split = split_data(data, shares, seed=seed, groups=groups, time=time)
    table = fit_table(data.inputs, split.train)
    spec = describe_inputs(data.inputs, table)

    parts: dict[Part, PartOf] = {"train": PartOf(data, split.train)}
    held: tuple[tuple[Part, Any, Tensor], ...] = (
        ("validation", validation, split.validation),
        ("test", test, split.test),
    )
    for part, value, ids in held:
        if shares[part] is None:
            parts[part] = read_part(value, part, target=target, spec=spec, task=found)
        elif len(ids):
            parts[part] = PartOf(data, ids)
    summary = summarize(split, parts, found, seed)
    summary["notes"] = notes + summary["notes"]
    rows = {part: make_rows(of, part, spec, found) for part, of in parts.items()}
    return Prepared(
        train=rows["train"],
        validation=rows["validation"],
        test=Seal(rows["test"], log=Path(directory) / SEAL_LOG) if "test" in rows else None,
        task=found,
        table=table,
        columns=table.names if table else (),
        spec=spec,
        split=summary,
        description=describe({part: len(part_rows) for part, part_rows in rows.items()}),
    )


def find_share(part: str, value: Any) -> float | None:
    """The share of the rows that a part takes from `train`; None where the user gives data for it."""
    if value is None:
        return SHARES[part]
    if value is False and part == "test":
        return 0.0
    if value is False:
        raise UsageError(
            "validation=False is not possible: the best epoch and the threshold are chosen on validation rows, and "
            "chosen on training rows they would be too good. Leave it out (15 % of the rows), or give a share or data."
        )
    if isinstance(value, int | float):
        if isinstance(value, int) or not 0 < value < 1:
            raise UsageError(
                f"{part}={value!r} is neither data nor a share of the rows between 0 and 1; 0.2 takes a fifth of them"
                f"{', False none' if part == 'test' else ''}."
            )
        return float(value)
    return None


def refuse_contradictions(
    train: Any, parts: Mapping[str, Any], shares: Mapping[str, float | None], *, groups: Any, time: Any
) -> None:
    for part, data in parts.items():
        if shares[part] is None and same_data(data, train):
            raise UsageError(f"{part} is the same data as train: its measures would be of rows that were learned.")
    if shares["test"] is None and same_data(parts["validation"], parts["test"]):
        raise UsageError("validation and test are the same data: what is chosen on them cannot be measured on them.")
    if not any(shares.values()) and (groups is not None or time is not None):
        raise UsageError("groups and time decide how train is split, but no part is split from it. Leave them out.")


def same_data(one: Any, other: Any) -> bool:
    paths = isinstance(one, str | PathLike) and isinstance(other, str | PathLike)
    return Path(one).resolve() == Path(other).resolve() if paths else one is other


def split_data(data: Encoded, shares: Mapping[str, float | None], *, seed: int, groups: Any, time: Any) -> Split:
    """Splits off the parts that have a share; all rows are training rows where none has."""
    if not any(shares.values()):
        empty = torch.empty(0, dtype=torch.int64)
        return Split(torch.arange(len(data)), empty, empty, "given", "validation and test as given")
    validation, test = shares["validation"] or 0.0, shares["test"] or 0.0
    return split_rows(
        len(data), labels=data.codes, validation=validation, test=test, seed=seed, groups=groups, time=time
    )


def summarize(split: Split, parts: Mapping[Part, PartOf], task: Task, seed: int) -> dict[str, Any]:
    """The split as JSON values; raises `DataError` for a part that lacks classes it needs."""
    codes = {part: of.data.codes[of.ids] for part, of in parts.items() if of.data.codes is not None}
    counts = {part: torch.bincount(found, minlength=len(task.classes)).tolist() for part, found in codes.items()}
    given = [part for part, of in parts.items() if of.given]
    return {
        "method": split.method,
        "summary": split.summary,
        "seed": seed,
        "given": given,
        "rows": {part: len(of.ids) for part, of in parts.items()},
        "classes": {str(label): {part: counts[part][i] for part in counts} for i, label in enumerate(task.classes)},
        "notes": check_counts(counts, task.classes, given=given),
    }


def describe(sizes: Mapping[Part, int]) -> str:
    sealed = f"{sizes['test']:,} sealed" if "test" in sizes else "no test set"
    return f"{sizes['train']:,}/{sizes['validation']:,} rows, {sealed}"

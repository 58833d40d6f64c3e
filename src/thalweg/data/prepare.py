"""From what the user gave to the parts that are trained on, validated on, and sealed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
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
from thalweg.data.duplicates import duplicate_notes, find_duplicates
from thalweg.data.files import open_files
from thalweg.data.inputs import InputSpec
from thalweg.data.labels import label_counts, label_notes, strata
from thalweg.data.prepare_streams import is_stream, prepare_streams, refuse_row_words
from thalweg.data.rows import AnyRows, BatchRows, Collate, Inputs, Part, StepFunction
from thalweg.data.seal import Seal
from thalweg.data.sources import read_source
from thalweg.data.split import Split, group_codes, split_rows
from thalweg.data.tables import TargetName
from thalweg.data.task import OWN, Task, infer_task
from thalweg.data.unseen import counts_outputs, describe_classes, with_classes
from thalweg.data.weights import ClassWeights, find_sample_weights, weigh
from thalweg.errors import UsageError, did_you_mean
from thalweg.parts.preprocessing.encoder import TableEncoder
from thalweg.readings import Reading

SHARES = {"validation": 0.15, "test": 0.2}  # of the rows of `train`, where the user gives neither data nor a share
SPLITS = ("auto", "random")
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
        readings: what was measured of all parts at the split, while the test rows were not yet sealed.
        label_weights: `[T]`, how much the positive entries of each label count in the loss; None where all count alike.
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
    label_weights: Tensor | None = None
    readings: tuple[Reading, ...] = ()

    def encode_inputs(self, x: Any) -> Inputs:
        """New inputs in the form of the training data; see `InputSpec.encode`."""
        return self.spec.encode(x)

    def digest(self) -> str:
        """Tells one set of training and validation rows from another: their numbers and targets."""
        sha = hashlib.sha256()
        for rows in (self.train, self.validation):
            sha.update(rows.ids.numpy().tobytes())
            if not isinstance(rows, BatchRows):
                sha.update(rows.target.contiguous().numpy().tobytes())
            elif rows.exact:  # else each pass may bring other rows, and in any order
                sha.update(rows.target.sort(0).values.numpy().tobytes())
        return sha.hexdigest()


def prepare(
    train: Any,
    *,
    validation: Any = None,
    test: Any = None,
    loss_name: str | None,
    task: str | None = None,
    target: TargetName = None,
    groups: Any = None,
    time: Any = None,
    split: str = "auto",
    class_weights: ClassWeights | None = None,
    sample_weights: Any = None,
    seed: int = 0,
    directory: str | PathLike[str],
    collate: Collate | None = None,
    step: StepFunction | None = None,
) -> Prepared:
    """Reads, checks, splits and seals the data of an experiment.

    Args:
        train: the data; see `read_source` for the forms.
        validation: data of the same form; or a share of the rows of `train`, 0.15 by default.
        test: data of the same form; or a share of the rows of `train`, 0.2 by default; False for none. Test rows are
            copied out of `train` and sealed (L34).
        loss_name: the loss; None for a callable of the user's own.
        task: `"binary"`, `"multiclass"` or `"regression"`, where it should not be inferred; see `infer_task`.
        target: the target's column in a table, or several.
        groups: one key per row of `train`, or a column of the table: rows of one group stay in one part.
        time: one time per row of `train`, or a column of the table: the latest rows become test, those before them
            validation. A column that groups or orders is no input.
        class_weights: how much each class counts in the loss; see `class_weight_values`.
        sample_weights: how much each row of `train` counts in the loss, or a column of the table, which is no input.
        split: `"auto"` spreads each class over the parts in proportion, where there are classes; `"random"` does not.
        seed: decides the split.
        directory: the folder of the seal's log.
        collate: a list of a Dataset's items -> `(inputs, target)`, or with a `step` a batch of any form.
        step: the user's own `(model, batch)`, which gets each batch as the data give it.

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
    refuse_same_data(train, validation=validation, test=test)
    opened = open_files(train, validation=validation, test=test, target=target)
    given = {"validation": opened.validation, "test": opened.test}
    if is_stream(opened.train):
        refuse_row_words(opened.train, target, groups, time, class_weights, sample_weights)
        return prepare_streams(
            opened.train,
            **given,
            loss_name=loss_name,
            task=task,
            collate=collate,
            step=step,
            seed=seed,
            log=Path(directory) / SEAL_LOG,
        )
    shares = {part: find_share(part, value) for part, value in given.items()}
    check_split(split, shares, ordered=groups is not None or time is not None)
    whole, group_column = read_source(opened.train, target=target, collate=collate, step=step), groups
    if step is not None and not whole.labeled and whole.collate is None:
        step = partial(on_inputs, step)
    example = whole.target if whole.example is None else whole.example
    found = infer_task(example, loss_name=loss_name, task=task, names=whole.names) if whole.labeled else OWN
    source, groups, time, weights, notes = take_columns(whole, groups=groups, time=time, sample_weights=sample_weights)
    data = encode_source(source, found)
    labels = strata(data.target, data.codes, found) if split == "auto" else None
    parted = split_data(data, shares, labels, seed=seed, groups=groups, time=time)
    table = fit_table(data.inputs, parted.train)
    spec = describe_inputs(data.inputs, table, data.collate)
    samples = None if weights is None else find_sample_weights(weights, len(data))
    parts: dict[Part, PartOf] = {"train": PartOf.of(data, parted.train, samples)}
    held: tuple[tuple[Part, Tensor], ...] = (("validation", parted.validation), ("test", parted.test))
    columns = {"target": target, "sample_weights": sample_weights, "groups": group_column}
    alike: dict[str, Any] = {"spec": spec, "task": found, "collate": collate, "step": step}
    for part, ids in held:
        if shares[part] is None:
            parts[part] = read_part(given[part], part, **columns, **alike)
        elif len(ids):
            parts[part] = PartOf.of(data, ids, samples)
    parts, label_weights = weigh(parts, found := with_unseen(found, parts), class_weights)
    summary = summarize(parted, parts, found, seed)
    summary["notes"] = [*opened.notes, *notes, *summary["notes"]]
    rows = {part: make_rows(of, part, spec, found, step) for part, of in parts.items()}
    if groups is not None:
        codes = group_codes(groups, len(data))
        rows |= {p: replace(rows[p], groups=of.groups if of.given else codes[of.ids]) for p, of in parts.items()}
    readings = [*find_duplicates(rows), *describe_classes(class_counts(parts, found), found.classes)]
    summary["notes"] += duplicate_notes(readings)
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
        label_weights=label_weights,
        readings=tuple(readings),
    )


def check_split(split: str, shares: Mapping[str, float | None], *, ordered: bool) -> None:
    """Raises `UsageError` for an unknown `split`, or groups and time (`ordered`) where they have no say."""
    if not any(shares.values()) and ordered:
        raise UsageError("groups and time decide how train is split, but no part is split from it. Leave them out.")
    if split not in SPLITS or (split == "random" and ordered):
        raise UsageError(
            f"split got {split!r}; allowed: 'auto' or 'random', the latter without groups and time."
            + did_you_mean(str(split), SPLITS)
        )


def on_inputs(step: StepFunction, model: Any, batch: tuple[Any, Tensor]) -> Any:
    """A step on data without a target, whose place is filled with zeros elsewhere."""
    return step(model, batch[0])


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


def refuse_same_data(train: Any, *, validation: Any, test: Any) -> None:
    for part, data in (("validation", validation), ("test", test)):
        if data is not None and same_data(data, train):
            raise UsageError(f"{part} is the same data as train: its measures would be of rows that were learned.")
    if find_share("test", test) is None and same_data(validation, test):
        raise UsageError("validation and test are the same data: what is chosen on them cannot be measured on them.")


def same_data(one: Any, other: Any) -> bool:
    paths = isinstance(one, str | PathLike) and isinstance(other, str | PathLike)
    return Path(one).resolve() == Path(other).resolve() if paths else one is other


def split_data(
    data: Encoded,
    shares: Mapping[str, float | None],
    labels: Tensor | None,
    *,
    seed: int,
    groups: Any,
    time: Any,
) -> Split:
    """Splits off the parts that have a share; all rows are training rows where none has."""
    if not any(shares.values()):
        empty = torch.empty(0, dtype=torch.int64)
        return Split(torch.arange(len(data)), empty, empty, "given", "validation and test as given")
    validation, test = shares["validation"] or 0.0, shares["test"] or 0.0
    return split_rows(len(data), labels=labels, validation=validation, test=test, seed=seed, groups=groups, time=time)


def summarize(split: Split, parts: Mapping[Part, PartOf], task: Task, seed: int) -> dict[str, Any]:
    """The split as JSON values; raises `DataError` for a part that lacks classes it needs."""
    counts = class_counts(parts, task)
    rows = {part: len(of.ids) for part, of in parts.items()}
    classes = {str(label): {part: counts[part][i] for part in counts} for i, label in enumerate(task.classes)}
    notes: list[str] = []
    if task.kind == "multilabel":
        classes = label_counts({part: of.data.target[of.ids] for part, of in parts.items()}, task)
        notes = label_notes(classes, rows)
    given = [part for part, of in parts.items() if of.given]
    unseen = bool(given) and counts_outputs(task)
    return {
        "method": split.method,
        "summary": split.summary,
        "seed": seed,
        "given": given,
        "rows": rows,
        "classes": classes,
        "notes": check_counts(counts, task.classes, given=given, unseen_allowed=unseen) if counts else notes,
    }


def class_counts(parts: Mapping[Part, PartOf], task: Task) -> dict[Part, list[int]]:
    """Rows of each class, per part; empty where rows have no class."""
    codes = {part: of.data.codes[of.ids] for part, of in parts.items() if of.data.codes is not None}
    return {part: torch.bincount(found, minlength=len(task.classes)).tolist() for part, found in codes.items()}


def with_unseen(task: Task, parts: Mapping[Part, PartOf]) -> Task:
    """The task with the classes that only given parts have, where these are numbers of outputs."""
    codes = [of.data.codes for of in parts.values() if of.given and of.data.codes is not None and len(of.data.codes)]
    return with_classes(task, max((int(found.max()) + 1 for found in codes), default=0))


def describe(sizes: Mapping[Part, int]) -> str:
    sealed = f"{sizes['test']:,} sealed" if "test" in sizes else "no test set"
    return f"{sizes['train']:,}/{sizes['validation']:,} rows, {sealed}"

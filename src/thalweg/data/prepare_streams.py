"""Experiments on DataLoaders and IterableDatasets: one pass over each part, nothing split, the test part sealed."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from thalweg.data.assemble import make_rows, naming, read_part
from thalweg.data.batches import as_batch, collate_plain
from thalweg.data.checks import check_counts
from thalweg.data.inputs import InputSpec
from thalweg.data.items import read_batches
from thalweg.data.loaders import batch_rows, pass_over_loader, together
from thalweg.data.rows import AnyRows, Batch, BatchRows, Collate, Part, Rows, StepFunction, StreamRows, is_pair
from thalweg.data.sample import at_hand
from thalweg.data.streams import Pass, pass_over_stream, stream_rows
from thalweg.data.targets import Target, to_target
from thalweg.data.task import OWN, Task, class_codes, encode_target, infer_task
from thalweg.data.unseen import counts_outputs, describe_classes, widened, with_classes
from thalweg.errors import DataError, UsageError

if TYPE_CHECKING:
    from thalweg.data.prepare import Prepared


def is_stream(data: Any) -> bool:
    """Whether data can be iterated anew for each epoch, and nothing else."""
    if isinstance(data, DataLoader | IterableDataset):
        return True
    plain = isinstance(data, str | Mapping | Tensor | Dataset) or hasattr(data, "__getitem__")
    return not plain and hasattr(data, "__iter__") and not hasattr(data, "__next__") and not hasattr(data, "__array__")


def require_given(train: Any, validation: Any, test: Any) -> None:
    """Raises `UsageError` where a part would have to be split off from a stream."""
    for part, value in (("validation", validation), ("test", test)):
        if value is None or (isinstance(value, int | float) and not (part == "test" and value is False)):
            raise UsageError(
                f"train is a {type(train).__name__}, from which nothing can be split off; {part} got {value!r}. Give "
                f"{part}= a DataLoader or data of its own{', or False for none' if part == 'test' else ''}; or pass "
                "train=loader.dataset, a map-style Dataset, which is split, shuffled by seed and sealed."
            )


def refuse_row_words(train: Any, *values: Any) -> None:
    """Raises `UsageError` where one of the arguments that speak of rows is given."""
    if any(value is not None for value in values):
        raise UsageError(
            f"target, groups, time and weights speak of rows, and a {type(train).__name__} gives its own batches. "
            "Leave them out; a step=(model, batch) -> loss can weigh."
        )


def pass_over(data: Any, part: Part, collate: Collate | None, step: StepFunction | None) -> Pass:
    if isinstance(data, IterableDataset):
        return pass_over_stream(data, part)
    if collate is not None:
        raise UsageError("A DataLoader has a collate_fn of its own; leave collate= out.")
    return pass_over_loader(data, part, step)


def rows_of(
    data: Any,
    found: Pass,
    part: Part,
    task: Task,
    *,
    collate: Collate | None,
    step: StepFunction | None,
) -> tuple[AnyRows, Tensor | None]:
    """The rows of a stream after a pass over it, and the class of each where it has one.

    Raises:
        DataError: for labels that the training data lack.
    """
    raw = found.target if task.kind != "own" else None
    per_row = raw is not None and len(raw) == found.num_rows
    target = encode_target(raw, task) if raw is not None and per_row else None
    codes = class_codes(raw, task) if raw is not None and per_row else None
    if isinstance(data, IterableDataset):
        return stream_rows(data, found, part, target=target, collate=collate, step=step, task=task), codes
    return batch_rows(data, found, part, target=target, step=step, task=task), codes


def prepare_streams(
    train: Any,
    *,
    validation: Any,
    test: Any,
    loss_name: str | None,
    task: str | None,
    collate: Collate | None,
    step: StepFunction | None,
    seed: int,
    log: Path,
) -> "Prepared":
    """As `prepare`, for `train` that can only be iterated; `validation` and `test` may be data of any form.

    Raises:
        UsageError: where validation or test are not given.
        DataError: for a loader that yields nothing, batches of no usable or of differing form, unknown labels.
    """
    from thalweg.data.prepare import Prepared, describe
    from thalweg.data.seal import Seal

    require_given(train, validation, test)
    found = pass_over(train, "train", collate, step)
    found_task = task_of(found, loss_name, task, collate, step)
    own, codes = rows_of(train, found, "train", found_task, collate=collate, step=step)
    rows: dict[Part, AnyRows] = {"train": own}
    known: dict[Part, Tensor | None] = {"train": codes}
    notes = [note_of("train", found, own)]
    spec = spec_of(own)
    held: tuple[tuple[Part, Any], ...] = (("validation", validation), ("test", test))
    for part, value in held:
        if value is False:
            continue
        if not is_stream(value):
            of = read_part(value, part, target=None, spec=spec, task=found_task, collate=collate, step=step)
            rows[part], known[part] = make_rows(of, part, spec, found_task, step=step), of.data.codes
            continue
        with naming(part):
            passed = pass_over(value, part, collate, step)
            own_task = found_task if passed.target is None else widened(found_task, passed.target)
            rows[part], known[part] = rows_of(value, passed, part, own_task, collate=collate, step=step)
        notes.append(note_of(part, passed, rows[part]))
    found_task = with_classes(found_task, max((int(c.max()) + 1 for c in known.values() if c is not None), default=0))
    counts: dict[Part, list[int]] = {
        part: torch.bincount(labels, minlength=len(found_task.classes)).tolist()
        for part, labels in known.items()
        if labels is not None
    }
    sizes = {part: len(part_rows) for part, part_rows in rows.items()}
    whole = len(counts) == len(rows)
    allowed: dict[str, Any] = {"given": list(rows), "unseen_allowed": counts_outputs(found_task)}
    summary = {
        "method": "given",
        "summary": "validation and test as given",
        "seed": seed,
        "given": [part for part in rows if part != "train"],
        "rows": sizes,
        "classes": {
            str(label): {part: n[i] for part, n in counts.items()} for i, label in enumerate(found_task.classes)
        },
        "notes": notes + (check_counts(counts, found_task.classes, **allowed) if whole else []),
    }
    return Prepared(
        train=rows["train"],
        validation=rows["validation"],
        test=Seal(rows["test"], log=log) if "test" in rows else None,
        task=found_task,
        table=None,
        columns=(),
        spec=spec,
        split=summary,
        description=describe(sizes),
        readings=tuple(describe_classes(counts, found_task.classes)) if whole and counts else (),
    )


def task_of(
    found: Pass, loss_name: str | None, task: str | None, collate: Collate | None, step: StepFunction | None
) -> Task:
    """What is to be predicted, from the targets that the pass found, or those of the kept batches."""
    target = found.target
    if target is None and step is None:
        target = kept_target(list(found.kept.values()), collate, items=set(found.sizes) == {1})
    return OWN if target is None else infer_task(target, loss_name=loss_name, task=task)


def kept_target(kept: list[Any], collate: Collate | None, *, items: bool) -> Target:
    """The target of a sample, where it is too large, or of too many shapes, to be kept of all rows."""
    batches = [collate(kept)] if collate is not None and items else kept
    pairs = [batch for batch in batches if is_pair(batch)]
    found = together([to_target(pair[1]) for pair in pairs]) if pairs else None
    if found is None:
        _ = [as_batch(batch, task=None, step=None, what="A batch") for batch in batches[:1]]
        raise DataError("The targets of the batches differ in shape. Pad them, or pass step=(model, batch) -> loss.")
    return found


def spec_of(rows: AnyRows) -> InputSpec:
    """The form of one row where all batches agree on it; else items, or whole batches, are the form."""
    if isinstance(rows, BatchRows):
        some = at_hand(rows)
        return InputSpec.of(some.inputs) if isinstance(some, Rows) else InputSpec("batches", (), ())
    assert isinstance(rows, StreamRows)
    if rows.sample.collate is collate_plain:
        inputs, _ = next(read_batches(rows.sample, [torch.arange(1)], seed=0, epoch=0))
        if not isinstance(inputs, Batch):
            return InputSpec.of(inputs)
    return InputSpec("items", (), ())


def note_of(part: Part, found: Pass, rows: AnyRows) -> str:
    """What the pass cost, and whether a resumed training will be exact."""
    name = "training" if part == "train" else part
    count = f"{found.num_rows:,} rows" + (f" in {len(found.sizes):,} batches" if isinstance(rows, BatchRows) else "")
    text = f"one pass over the {name} data took {found.seconds:.2g} s: {count}"
    if not found.whole:
        text = f"about {count} in the {name} data, judged by the first ones and the loader's length"
    if part == "train" and isinstance(rows, BatchRows) and not rows.exact:
        text += f"; resume not exact: {rows.inexact}"
    return text

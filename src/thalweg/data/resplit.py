"""Training and validation rows drawn anew, the sealed test rows left alone: which rows validate is chance too."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from thalweg.data.datasets import GuardedDataset
from thalweg.data.labels import label_counts, strata
from thalweg.data.prepare import Prepared, describe
from thalweg.data.rows import DatasetRows, Inputs, Part, Rows, take
from thalweg.data.split import split_rows
from thalweg.data.task import CLASSES, Task

DRAWN = "drawn"  # in the facts of the split: the seed under which training and validation rows were drawn anew


def why_not(prepared: Prepared) -> str:
    """Why the validation rows cannot be drawn anew; empty where they can."""
    if "validation" in prepared.split["given"] or prepared.split["method"] == "given":
        return "the validation rows were given"
    if prepared.split["method"] == "by time":
        return "the split is by time"
    resident = isinstance(prepared.train, Rows) and isinstance(prepared.train.inputs, Tensor | tuple | dict)
    return "" if resident or isinstance(prepared.train, DatasetRows) else "the rows come in batches of their own"


def resplit(prepared: Prepared, *, seed: int) -> Prepared:
    """The same data with other training and validation rows, as many of each and by the same method.

    Stratified, at random or by whole groups, as the first split was; a function of the seed and of the rows that are
    not sealed, whichever split they are in now. What is fitted is fitted again on the new training rows; the levels of
    a table's categories stay those of the first training rows, and a level these lacked stays a missing value. Class
    weights stay too.

    Args:
        prepared: the data; `why_not` must be empty for them.
        seed: decides the split.

    >>> import tempfile
    >>> from thalweg.data.prepare import prepare
    >>> x, y = torch.randn(200, 4), torch.arange(200) % 2
    >>> first = prepare((x, y), loss_name="cross_entropy", directory=tempfile.mkdtemp())
    >>> other = resplit(first, seed=1)
    >>> len(other.validation), other.test is first.test, torch.equal(other.validation.ids, first.validation.ids)
    (30, True, False)
    """
    assert not why_not(prepared)
    pool = pooled(prepared.train, prepared.validation)
    share = len(prepared.validation) / len(pool)
    method, task = prepared.split["method"], prepared.task
    labels = strata(pool.target, codes_of(pool.target, task), task) if method == "stratified" else None
    groups = pool.groups if method == "by group" else None
    parted = split_rows(len(pool), labels=labels, validation=share, test=0.0, seed=seed, groups=groups)
    train, validation = taken(pool, parted.train, "train"), taken(pool, parted.validation, "validation")
    sizes: dict[Part, int] = {"train": len(train), "validation": len(validation)}
    known: dict[str, dict[str, int]] = prepared.split["classes"]
    counts = counted({"train": train.target, "validation": validation.target}, task) if known else {}
    facts = {
        DRAWN: seed,
        "summary": f"{parted.summary}, drawn anew under seed {seed}",
        "rows": prepared.split["rows"] | sizes,
        "classes": {label: of | counts[label] for label, of in known.items() if label in counts},
    }
    sealed: dict[Part, int] = {} if prepared.test is None else {"test": len(prepared.test)}
    return replace(
        prepared,
        train=train,
        validation=validation,
        split=prepared.split | facts,
        description=describe(sizes | sealed),
        # Copies of training rows were looked for among the validation rows of the first split.
        readings=tuple(reading for reading in prepared.readings if reading.place != "validation"),
    )


def pooled(train: Any, validation: Any) -> Rows | DatasetRows:
    """The rows of both parts, in the order of their ids."""
    ids = torch.cat([train.ids, validation.ids])
    order = ids.argsort()

    def both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
        if first is None or second is None:
            return None
        return torch.cat([first, second]).index_select(0, order.to(first.device))

    alike = {name: both(getattr(train, name), getattr(validation, name)) for name in ("target", "weights", "groups")}
    if isinstance(train, DatasetRows):
        dataset = together(train.dataset, validation.dataset, ids)
        return replace(train, dataset=dataset, ids=ids[order], **alike)  # type: ignore[arg-type]
    assert isinstance(train, Rows)
    inputs = joined(train.inputs, validation.inputs, lambda a, b: torch.cat([a, b]).index_select(0, order.to(a.device)))
    return replace(train, inputs=inputs, ids=ids[order], **alike)  # type: ignore[arg-type]


def joined(first: Inputs, second: Inputs, join: Callable[[Tensor, Tensor], Tensor]) -> Inputs:
    """Inputs of the same form, tensor by tensor."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return join(first, second)
    if isinstance(first, dict) and isinstance(second, dict):
        return {name: join(value, second[name]) for name, value in first.items()}
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    return tuple(join(a, b) for a, b in zip(first, second, strict=True))


def together(first: Any, second: Any, ids: Tensor) -> GuardedDataset:
    """A view of the rows that two views give out, and of no others: test rows stay behind theirs."""
    assert isinstance(first, GuardedDataset)
    assert isinstance(second, GuardedDataset)
    return first.widened(second, ids)


def taken(pool: Rows | DatasetRows, places: Tensor, part: Part) -> Rows | DatasetRows:
    """The rows at these places, as one part."""

    def some(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.index_select(0, places.to(values.device))

    alike: dict[str, Any] = {name: some(getattr(pool, name)) for name in ("target", "ids", "weights", "groups")}
    if isinstance(pool, Rows):
        return replace(pool, inputs=take(pool.inputs, places), part=part, **alike)
    assert isinstance(pool.dataset, GuardedDataset)
    return replace(pool, dataset=pool.dataset.narrowed(alike["ids"], part=part), part=part, **alike)


def codes_of(target: Tensor, task: Task) -> Tensor | None:
    """The class of each row, `[N]`, numbered in the order of the labels; None where rows have no class."""
    if task.kind not in CLASSES or target.numel() != len(target):
        return None
    codes: Tensor = torch.unique(target.flatten(), return_inverse=True)[1]
    return codes


def counted(targets: dict[Part, Tensor], task: Task) -> dict[str, dict[Part, int]]:
    """Label -> rows of each part; empty where the rows do not show all labels."""
    if task.kind == "multilabel":
        return label_counts(targets, task)
    lengths = [len(target) for target in targets.values()]
    codes = codes_of(torch.cat(list(targets.values())), task)
    if codes is None or int(codes.max()) + 1 != len(task.classes):
        return {}
    of_parts = [torch.bincount(part, minlength=len(task.classes)).tolist() for part in torch.split(codes, lengths)]
    return {
        str(label): {part: of_parts[p][k] for p, part in enumerate(targets)} for k, label in enumerate(task.classes)
    }

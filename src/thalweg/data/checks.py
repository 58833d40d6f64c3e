"""Checks of content, made once before the first step: what is not finite, classes that a part lacks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from thalweg.data.arrays import list_rows
from thalweg.data.rows import Part
from thalweg.errors import DataError

if TYPE_CHECKING:
    from thalweg.data.targets import Target


def all_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite, in one pass.

    A sum is finite only where every term is. One that overflows is not, so that only then each value is looked at.

    >>> all_finite(torch.tensor([1.0, 3e38, 3e38])), all_finite(torch.tensor([1.0, float("nan")]))
    (True, False)
    """
    if not (values.is_floating_point() or values.is_complex()):
        return True
    wide = torch.float32 if values.itemsize < 4 else None
    return bool(values.sum(dtype=wide).isfinite()) or bool(values.isfinite().all())


def check_finite(
    values: Tensor, ids: Tensor, *, what: str, columns: Sequence[str] = (), missing_allowed: bool = False
) -> None:
    """Raises `DataError` where inputs are not finite.

    Args:
        values: `[N, ...]`.
        ids: `[N]`, the row numbers in the data as the user gave them.
        what: what the message calls the values: `"x"`.
        columns: names of the columns of `[N, C]`.
        missing_allowed: whether NaN stands for a missing value, which is imputed later.
    """
    if not missing_allowed and all_finite(values):
        return
    nans = values.isnan()
    bad = ~values.isfinite() & ~nans if missing_allowed else ~values.isfinite()
    if not bad.any():
        return
    num_nan = int((bad & nans).sum())
    num_infinite = int(bad.sum()) - num_nan
    counts = " and ".join(
        f"{n:,} {name} value{'s' if n > 1 else ''}" for n, name in ((num_nan, "NaN"), (num_infinite, "infinite")) if n
    )
    rows = bad.reshape(len(bad), -1).any(dim=1).nonzero()[:, 0].to(ids.device)
    remedy = "Leave these rows out or replace the values"
    impute = "" if missing_allowed else "; a DataFrame's missing values are imputed"
    raise DataError(
        f"{what} has {counts} in {list_rows(ids[rows])} (counted from 0), {name_places(bad, columns)}. "
        f"{remedy}{impute}."
    )


def name_places(bad: Tensor, columns: Sequence[str]) -> str:
    """The columns, or the first place within a row, that a mask `[N, ...]` marks."""
    if bad.dim() != 2:
        place = bad.nonzero()[0, 1:].tolist()
        return f"first at place {place} of the row" if place else "its only column"
    found = bad.any(dim=0).nonzero()[:, 0].tolist()
    names = [repr(columns[i]) if columns else str(i) for i in found[:5]]
    more = f" and {len(found) - 5:,} more" if len(found) > 5 else ""
    return f"column{'s' if len(found) > 1 else ''} {', '.join(names)}{more}"


def check_target(target: "Target") -> None:
    """Raises `DataError` where a target is NaN or infinite, with the rows."""
    if not isinstance(target, Tensor) or all_finite(target):
        return
    bad = ~target.isfinite()
    rows = bad.reshape(len(bad), -1).any(dim=1).nonzero()[:, 0]
    raise DataError(
        f"The target is NaN or infinite in {list_rows(rows)} (counted from 0; {len(rows):,} of {len(target):,}). "
        "Leave these rows out, or find where the values come from."
    )


def check_counts(
    counts: Mapping[Part, Sequence[int]],
    classes: Sequence[object],
    *,
    given: Sequence[str],
    unseen_allowed: bool = False,
) -> list[str]:
    """What the counts of rows per part and class allow: notes worth telling, or an error.

    Args:
        counts: part -> rows of each class, `"train"` first.
        classes: the labels.
        given: parts that the user gave, of which a test set may have a single class.
        unseen_allowed: whether a part may have classes that training lacks, and training then a single one.

    Raises:
        DataError: where training lacks a class that another part has, or a part has one class only.
    """
    notes: list[str] = []
    for part, rows in counts.items():
        name = "training" if part == "train" else part
        lacking = [repr(c) for c, n, trained in zip(classes, rows, counts["train"], strict=True) if n and not trained]
        if lacking and unseen_allowed:
            notes.append(f"the {name} rows have {name_classes(lacking)}, of which the training rows have none")
        elif lacking:
            raise DataError(
                f"The {name} rows have {name_classes(lacking)}, of which the training rows have none. Add training "
                "rows of it, leave it out, or split in another way (another seed, other shares)."
            )
        present = [repr(c) for c, n in zip(classes, rows, strict=True) if n]
        alone = part == "train" and unseen_allowed and len(classes) > 1
        if len(present) == 1 and not alone and (part != "test" or part not in given):
            raise DataError(
                f"All {sum(rows):,} {name} rows are of the class {present[0]}, so that nothing can be "
                f"{'learned' if part == 'train' else 'measured'}. Give more rows of the others, or split in another "
                "way (another seed, other shares)."
            )
        if len(present) == 1:
            notes.append(f"all {name} rows are of the class {present[0]}")
        absent = [repr(c) for c, n, trained in zip(classes, rows, counts["train"], strict=True) if trained and not n]
        if absent:
            notes.append(f"the {name} rows have none of {name_classes(absent)}")
    return notes


def name_classes(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 5:,} more" if len(labels) > 5 else ""
    return f"class{'es' if len(labels) > 1 else ''} {', '.join(labels[:5])}{more}"

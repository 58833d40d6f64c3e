"""Rows that belong together, by an id or in time, and a split that parts them: what it adds to a plain learner's score.

A plain learner answers a held row by its nearest training rows. It answers the same row once more without the rows of
its own group, or of its own time and later, and as many others: what is missing then came from these rows alone.
"""

import re
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from thalweg.readings import Reading

NEIGHBORS = 5
MOST_ROWS, MOST_HELD = 2000, 500  # that are compared: a tenth of a second
LEAST_HELD = 50
LEAST_GROUPS = 10
LEAST_TIMES = 50  # distinct ones
TOGETHER = 2.0  # rows of a group on average, at least
LATEST = 0.25  # of the held rows
ERRORS = 2.0
IDS = re.compile(
    r"(^|[_\W])(ids?|uuid|guid|key|patient|subject|person|participant|user|customer|client|speaker|author|session|"
    r"household|family|group|site|station|machine|device|store|animal|donor|plot|well)([_\W]|$)|[a-z]Id$",
    re.IGNORECASE,
)
TIMES = re.compile(r"(^|[_\W])(date|time|datetime|timestamp|epoch|created|recorded|measured)([_\W]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """The rows of a part: values `[N, F]` in which NaN is a missing one, and targets `[N]`."""

    values: Tensor
    target: Tensor

    def take(self, rows: Tensor) -> "Table":
        return Table(self.values[rows], self.target[rows])


def is_id(name: str) -> bool:
    """Whether a column's name says that it tells who or what a row is of.

    >>> [is_id(name) for name in ("patient_id", "userId", "id", "subject", "width", "humidity", "idle")]
    [True, True, True, True, False, False, False]
    """
    return IDS.search(name) is not None


def is_time(name: str) -> bool:
    """Whether a column's name says that it is a point in time.

    >>> [is_time(name) for name in ("timestamp", "start_date", "times_late", "candidate")]
    [True, True, False, False]
    """
    return TIMES.search(name) is not None


def group_leak(
    train: Table, held: Table, column: int, name: str, *, categories: Tensor, classes: bool
) -> list[Reading]:
    """Readings of a column that groups rows; none where it does not.

    `group.shared`, the share of the held rows whose group has training rows, its count the number of groups; and
    `group.gap`, by how much more a plain learner is right about these rows than without the training rows of their
    group and with as many others left out: accuracy or R2, with two standard errors over the groups.

    Args:
        train: training rows.
        held: validation rows.
        column: of the ids.
        name: of that column.
        categories: `[F]` which columns are codes of categories.
        classes: whether targets are classes.
    """
    ids, held_ids = train.values[:, column], held.values[:, column]
    known = ids[~ids.isnan()].unique()  # type: ignore[no-untyped-call]
    if len(known) < LEAST_GROUPS or len(ids) < TOGETHER * len(known) or not whole(known):
        return []
    shared = float(torch.isin(held_ids, known).double().mean())
    found = [Reading("group.shared", shared, name, count=len(known))]
    draw = torch.Generator().manual_seed(0)
    chosen = known[torch.randperm(len(known), generator=draw)]
    sizes = torch.searchsorted(known, ids.nan_to_num(float(known[0]))).bincount(minlength=len(known))
    order = torch.searchsorted(known, chosen)
    chosen = chosen[sizes[order].cumsum(0) <= MOST_ROWS]
    some = train.take(torch.isin(ids, chosen).nonzero()[:, 0])
    rows = torch.isin(held_ids, chosen).nonzero()[:, 0][:MOST_HELD]
    if len(rows) < LEAST_HELD or len(chosen) < LEAST_GROUPS:
        return found
    few = held.take(rows)
    own = few.values[:, column, None] == some.values[None, :, column]
    others = drawn(own.sum(1), ~own, draw)
    distance = distances(some, few, without=column, categories=categories)
    gap = difference(distance, some, few, own, others, few.values[:, column], classes=classes)
    return [*found, *([] if gap is None else [named(gap, "group.gap", name)])]


def time_leak(train: Table, held: Table, column: int, name: str, *, categories: Tensor, classes: bool) -> list[Reading]:
    """Readings of a column that is a time; none where it has few of them.

    `time.shared`, the share of the held rows that are not later than all training rows; and `time.gap`, by how much
    more a plain learner is right about the latest quarter of the held rows than without the training rows of that time
    and with as many others left out: accuracy or R2, with two standard errors.
    """
    times, held_times = train.values[:, column], held.values[:, column]
    finite = times[~times.isnan()]
    if len(finite.unique()) < LEAST_TIMES:  # type: ignore[no-untyped-call]
        return []
    shared = float((held_times <= finite.max()).double().mean())
    found = [Reading("time.shared", shared, name, count=len(held_times))]
    border = held_times[~held_times.isnan()].quantile(1 - LATEST)
    rows = (held_times >= border).nonzero()[:, 0][:MOST_HELD]
    if len(rows) < LEAST_HELD:
        return found
    draw = torch.Generator().manual_seed(0)
    some = train.take(torch.randperm(len(times), generator=draw)[:MOST_ROWS])
    few = held.take(rows)
    later = (some.values[:, column] >= border).expand(len(few.values), -1)
    if not 0 < int(later[0].sum()) < len(some.values) / 2:
        return found
    others = drawn(later.sum(1), torch.ones_like(later), draw)  # of all times: as many are left
    distance = distances(some, few, without=column, categories=categories)
    gap = difference(distance, some, few, later, others, None, classes=classes)
    return [*found, *([] if gap is None else [named(gap, "time.gap", name)])]


def whole(values: Tensor) -> bool:
    return bool((values == values.round()).all())


def drawn(counts: Tensor, allowed: Tensor, draw: torch.Generator) -> Tensor:
    """`[M, N]` for each row that many of the allowed columns at random."""
    most = int(counts.max())
    order = torch.rand(allowed.shape, generator=draw).masked_fill(~allowed, -1.0).topk(most, 1).indices
    chosen = torch.zeros_like(allowed)
    return chosen.scatter_(1, order, torch.arange(most) < counts[:, None])


def distances(train: Table, held: Table, *, without: int, categories: Tensor) -> Tensor:
    """`[M, N]` between held and training rows: standardized numbers, and 1 for each category that differs."""
    kept = torch.arange(train.values.shape[1]) != without
    numbers, codes = kept & ~categories, kept & categories
    mean, spread = train.values[:, numbers].nanmean(0), deviation(train.values[:, numbers])
    one, other = ((part.values[:, numbers] - mean) / spread for part in (train, held))
    found = torch.cdist(other.nan_to_num(), one.nan_to_num()).square()
    for column in codes.nonzero()[:, 0].tolist():
        found += held.values[:, column, None] != train.values[None, :, column]
    return found


def deviation(values: Tensor) -> Tensor:
    spread = (values - values.nanmean(0)).square().nanmean(0).sqrt()
    return torch.where(spread > 0, spread, 1.0)


def difference(
    distance: Tensor,
    train: Table,
    held: Table,
    own: Tensor,
    others: Tensor,
    groups: Tensor | None,
    *,
    classes: bool,
) -> Reading | None:
    """How much is lost without one's own rows, beyond what is lost without as many others."""
    with_own, without = (right(distance.masked_fill(gone, torch.inf), train, held, classes) for gone in (others, own))
    gain = with_own - without
    if not bool(gain.isfinite().all()):
        return None
    mean = gain.mean()
    parts = gain - mean
    if groups is not None:  # rows of one group are no independent ones
        _, codes = groups.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        parts = parts.new_zeros(int(codes.max()) + 1).index_add_(0, codes, parts)
    half = ERRORS * sqrt(float(parts.square().sum())) / len(gain)
    value = float(mean)
    score = f"{'accuracy' if classes else 'R2'} {float(with_own.mean()):.3g}, {float(without.mean()):.3g} without"
    return Reading("gap", value, low=value - half, high=value + half, count=len(gain), note=score)


def right(distance: Tensor, train: Table, held: Table, classes: bool) -> Tensor:
    """`[M]` of each held row: 1 or 0 for a class, or what it adds to R2."""
    nearest = train.target[distance.topk(min(NEIGHBORS, distance.shape[1]), largest=False).indices]
    if classes:
        return (nearest.mode(1).values == held.target).double()
    wanted = held.target.double()
    total = (wanted - wanted.mean()).square().mean()
    return 1 - (nearest.double().mean(1) - wanted).square() / total


def named(found: Reading, name: str, place: str) -> Reading:
    return Reading(name, found.value, place, low=found.low, high=found.high, count=found.count, note=found.note)

"""The epoch table: which rows it prints, and its columns, as many as the width holds."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from rich.text import Text

from thalweg.events import EpochEnded
from thalweg.show.text import compact, duration, measure, number, rate, shorten, title

ROWS = 20  # of a long training


@dataclass(frozen=True)
class Column:
    """`width` counts the gap before it. Without the penalty the widths sum to 80; `rank` 0 is never left out."""

    name: str
    width: int
    rank: int
    cell: Callable[[EpochEnded], str]


COLUMNS = (
    Column("epoch", 7, 0, lambda e: f"{e.epoch:,}"),
    Column("train loss", 11, 0, lambda e: number(e.train_loss)),
    Column("val loss", 10, 1, lambda e: number(e.validation_loss)),
    Column("metric", 10, 2, lambda e: measure(e.metric_name, e.metric)),
    Column("penalty", 10, 5, lambda e: number(e.penalty)),
    Column("lr", 8, 4, lambda e: rate(e.rate)),
    Column("grad norm", 11, 6, lambda e: number(e.gradient_norm, 3)),
    Column("update/w", 9, 7, lambda e: rate(e.update_ratio)),
    Column("rows/s", 7, 8, lambda e: speed(e.rows_per_second)),
    Column("time", 7, 3, lambda e: short_duration(e.seconds)),
)


class EpochTable:
    """Rows of the epochs worth showing: the first, every k-th, the last, and at the end always the best.

    A star marks what was the best epoch so far by the selection measure.
    """

    def __init__(self) -> None:
        self.columns: list[Column] = []
        self.best: EpochEnded | None = None
        self.left_out: EpochEnded | None = None  # the newest epoch, where its row was not shown
        self.shown: set[int] = set()

    def add(self, event: EpochEnded, *, width: int) -> list[Text]:
        """The lines this epoch adds to the table; none where its row is left out."""
        if event.best:
            self.best = event
        if self.shown and not worth_a_row(event.epoch, event.num_epochs):
            self.left_out = event
            return []
        self.left_out = None
        header = [] if self.columns else self._begin(event, width)
        return [*header, self._row(event)]

    def end(self) -> list[Text]:
        """The rows still owed: the best epoch's, and the last one's where the training was interrupted."""
        owed = {e.epoch: e for e in (self.best, self.left_out) if e and e.epoch not in self.shown}
        return [self._row(owed[epoch]) for epoch in sorted(owed)]

    def _begin(self, event: EpochEnded, width: int) -> list[Text]:
        columns = columns_of(event)
        while sum(c.width for c in columns) > width and (spare := max(columns, key=lambda c: c.rank)).rank > 0:
            columns.remove(spare)
        self.columns = columns
        names = [shorten(title(event.metric_name), c.width - 2) if c.name == "metric" else c.name for c in columns]
        header = "".join(name.rjust(c.width) for name, c in zip(names, columns, strict=True))
        return [Text(), Text(header, "dim")]

    def _row(self, event: EpochEnded) -> Text:
        self.shown.add(event.epoch)
        best = event is self.best
        row = Text("★" if best else " ", "bold green")
        for k, column in enumerate(self.columns):
            cell = column.cell(event)
            style = "bold red" if cell in ("NaN", "∞", "−∞") else "bold" if best and k < 4 else ""
            row.append(cell.rjust(column.width - (k == 0)), style)
        return row


def columns_of(event: EpochEnded) -> list[Column]:
    """The columns that have something to show."""
    values = {"val loss": event.validation_loss, "metric": event.metric, "penalty": event.penalty}
    return [c for c in COLUMNS if values.get(c.name, 0) is not None]


def worth_a_row(epoch: int, num_epochs: int) -> bool:
    """Whether the epoch is the last or one of about 20 at equal distances.

    >>> [epoch for epoch in range(1, 101) if worth_a_row(epoch, 100)][:4], worth_a_row(101, 101)
    ([5, 10, 15, 20], True)
    """
    return epoch % math.ceil(num_epochs / ROWS) == 0 or epoch == num_epochs


def speed(rows_per_second: float) -> str:
    return f"{rows_per_second:,.0f}" if rows_per_second < 9999.5 else compact(rows_per_second)


def short_duration(seconds: float) -> str:
    """A span in at most six characters.

    >>> [short_duration(s) for s in (0.04, 75, 3725, 400_000)]
    ['40 ms', '1.2 m', '62.1 m', '4.6 d']
    """
    if seconds < 59.95:
        return duration(seconds)
    units = ((60, "m"), (3600, "h"), (86400, "d"))
    size, unit = next((each for each in units if seconds < 99.95 * each[0]), units[-1])
    return f"{seconds / size:.1f} {unit}"

"""Areas under the ROC and precision-recall curves over batches, in constant memory, with a guaranteed bound (L43)."""

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import Self

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.parts.metrics.forms import Scores
from thalweg.parts.metrics.ranking import Counts, precision_recall_points, roc_points
from thalweg.parts.metrics.streaming.areas import auc_of_bins, average_precision_of_bins
from thalweg.parts.metrics.streaming.keys import bins_of, edges, valid_bins
from thalweg.parts.metrics.streaming.rank_forms import (
    ONE_CLASS,
    RankKind,
    averages,
    check_settings,
    check_shapes,
    rank_forms,
)
from thalweg.parts.metrics.streaming.streaming import Streaming, add_at, refuse_counted, refuse_weights, row_weights
from thalweg.parts.metrics.values import Value

BLOCK = 2**17  # scores at once: their 512 KiB of keys stay in the cache
WRONG, IGNORED_ROWS, ROUNDED = range(3)  # what stands behind the bins


@dataclass(eq=False)
class Ranking(Streaming):
    """Area under the ROC curve and average precision over batches, in constant memory, with a guaranteed bound.

    Rows are counted in bins that are the top bits of their scores, read as ordered integers: 2^bits bins, the same for
    every batch, fine wherever scores lie, at logits of 60 as at probabilities of 1e-6. Rows of one bin count as tied.
    `Value.error` is what the order inside the bins can change at most, computed from the counts themselves; with a
    million logits of a network and 18 bits some 1e-4, while the true error is some 1e-7. It is 0 where no
    score has more digits than its bin: bfloat16, float16 with 19 bits, whole numbers below 1,024.

    Args:
        kind: `"binary"`; `"multiclass"`, each class against the rest; `"multilabel"`.
        num_classes: C, classes or labels; 2 of a binary task.
        scores: what the outputs hold. Several classes' logits are ranked by `log p/(1-p)`.
        bits: from 10 to 24; the state takes `2^bits * 16` bytes, for each class or label where there are several.
        ignore_index: the label of rows (of entries, with several labels) that count nowhere; None for none.

    Outputs are `[N]`, `[N, 1]` or `[N, 2]`; `[N, C]`. Targets are `[N]` of 0 and 1; of classes; `[N, C]` of 0 and 1.

    Raises:
        UsageError: for settings out of range.
        DataError: in `update` for shapes that do not fit; in `compute` for NaN, what is no probability, and labels out
            of range among the rows.

    >>> ranking = Ranking()
    >>> for scores, target in [([60.5, 61.0], [0, 1]), ([62.0, 60.0], [1, 0])]:
    ...     _ = ranking.update(torch.tensor(scores), torch.tensor(target))
    >>> print(ranking.compute()["auc"])
    1

    Source: Mann and Whitney 1947; lecture row L43. torchmetrics bins probabilities at 200 fixed thresholds, without a
    bound: rare scores below 0.005 are all one bin, and logits near 60 all round to 1.
    """

    kind: RankKind = "binary"
    num_classes: int = 2
    _: KW_ONLY
    scores: Scores = "logits"
    bits: int = 18
    ignore_index: int | None = None
    sums: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_settings(self.kind, self.num_classes, self.scores)
        if not 10 <= self.bits <= 24:
            raise UsageError(f"bits are from 10 to 24; received {self.bits}.")
        if self._num_cells >= 2**30:
            raise UsageError(
                f"{self.num_classes} classes of {self.bits} bits take {self._num_cells / 2**27:.0f} GiB. Take less."
            )
        self.reset()

    def reset(self) -> Self:
        self.sums = torch.zeros(self._num_cells + 3, dtype=torch.int64)
        return self

    def update(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Self:
        check_shapes(output, target, self.kind, self.num_classes)
        self._move(output)
        # On a CPU in blocks that stay in the cache, which takes half the time; on a device in one go.
        size = max(1, BLOCK // self._num_columns) if output.is_cpu else max(1, len(output))
        weights = None if weight is None else row_weights(weight, target)
        for start in range(0, len(output), size):
            rows = slice(start, start + size)
            shares = None if weights is None else weights[rows]
            self._add_rows(output.detach()[rows], target.detach()[rows], shares)
        return self

    def _add_rows(self, output: Tensor, target: Tensor, weight: Tensor | None) -> None:
        values, positive, wrong = rank_forms(output, target, self.kind, self.num_classes, self.scores)
        cells, rounded = bins_of(values, self.scores, self.bits)
        if values.ndim > 1:
            cells += torch.arange(self.num_classes, device=values.device, dtype=torch.int32) << self.bits
        cells <<= 1
        cells += positive.int()  # added as int64 it takes three times as long
        if self.ignore_index is not None:
            ignored = (target == self.ignore_index).reshape(len(target), -1)
            cells.view(len(target), -1).masked_fill_(ignored, self._num_cells + IGNORED_ROWS)
            wrong = None if wrong is None else wrong.reshape(len(target), -1) & ~ignored
        shares = None if weight is None else weight.repeat_interleave(self._num_columns)
        self.sums = add_at(self.sums, cells.reshape(-1), shares)
        self.sums[self._num_cells + ROUNDED] += rounded
        if wrong is not None:
            self.sums[self._num_cells + WRONG] += wrong.count_nonzero()

    def compute(self) -> dict[str, Value]:
        return averages(self.kind, [self._areas(cells) for cells in self._table()])

    def roc_curve(self, column: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """False-positive rate, true-positive rate and threshold at the bins' edges, as `tw.metrics.roc_curve`.

        Each point is one of the exact curve; those inside a bin are left out. Synchronizes the device.

        Args:
            column: which class or label.
        """
        return roc_points(self._counts(column))

    def precision_recall_curve(self, column: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Recall, precision and threshold at the bins' edges, as `tw.metrics.precision_recall_curve`."""
        return precision_recall_points(self._counts(column))

    @property
    def _num_columns(self) -> int:
        return 1 if self.kind == "binary" else self.num_classes

    @property
    def _num_cells(self) -> int:
        return self._num_columns * (2 << self.bits)

    def _table(self) -> Tensor:
        """`[columns, bins, 2]` counts on the CPU: of each bin from the lowest, negative and positive rows."""
        sums = self.sums.cpu()
        refuse_weights(sums)
        table, behind = sums[: self._num_cells].view(self._num_columns, -1, 2), sums[self._num_cells :]
        valid = valid_bins(self.scores, self.bits)
        nan = float(table[:, : valid.start].sum() + table[:, valid.stop :].sum())
        refuse_counted(nan, float(behind[WRONG]), self.num_classes if self.kind == "multiclass" else 2)
        return table

    def _counts(self, column: int) -> Counts:
        """`cumulative_counts` of the filled bins, their lowest score for the threshold."""
        cells = self._table()[column]
        filled = (cells[:, 0] + cells[:, 1]).nonzero()[:, 0].flip(0)
        false, true = cells[filled].cumsum(0).unbind(1)
        return edges(self.scores, self.bits)[filled], true, false

    def _areas(self, cells: Tensor) -> tuple[Value, Value]:
        """The area and the average precision of one column of the table."""
        filled = (cells[:, 0] + cells[:, 1]).nonzero()[:, 0].flip(0)
        negative, positive = cells.index_select(0, filled).double().unbind(1)
        rows, found = float(negative.sum() + positive.sum()), float(positive.sum())
        if not 0 < found < rows:
            undefined = Value(math.nan, rows, ONE_CLASS if rows else "there are no rows")
            return undefined, undefined
        tied = not float(self.sums[self._num_cells + ROUNDED])
        area, error = auc_of_bins(positive, negative, tied=tied)
        weighted = cells.is_floating_point()
        precision, wide = average_precision_of_bins(positive, negative, tied=tied, weighted=weighted)
        return Value(area, rows, "", error), Value(precision, found, "", wide)

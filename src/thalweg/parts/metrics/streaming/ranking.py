"""Areas under the ROC and the precision-recall curve over batches, in constant memory or exactly (L43)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics import multilabel, several_classes
from thalweg.parts.metrics.forms import Scores, binary_scores, check_word
from thalweg.parts.metrics.ranking import (
    Counts,
    average_precision,
    precision_recall_points,
    roc_auc,
    roc_points,
    single_class,
)
from thalweg.parts.metrics.streaming.areas import auc_of_bins, average_precision_of_bins
from thalweg.parts.metrics.streaming.keys import bins_of, edges
from thalweg.parts.metrics.streaming.streaming import Streaming, add_at, flat_weight, refuse_counted, refuse_weights
from thalweg.parts.metrics.values import Value

RankKind = Literal["binary", "multiclass", "multilabel"]
Named = tuple[str, list[Value]]
ONE_CLASS = "all rows are of one class, so there is nothing to rank"
BROKEN, WRONG, IGNORED_ROWS, ROUNDED = range(4)  # what stands behind the bins


@dataclass(eq=False)
class Ranking(Streaming):
    """Area under the ROC curve and average precision over batches, in constant memory, with a guaranteed bound.

    Rows are counted in bins that are the top bits of their scores, read as ordered integers: 2^bits bins, the same for
    every batch, fine wherever scores lie, at logits of 60 as at probabilities of 1e-6. Rows of one bin count as tied.
    `Value.error` is what the order inside the bins can change at most, computed from the counts themselves; with a
    million logits of a network and 18 bits some 1e-4, while the true error is some 1e-7. It is 0 where every score is
    the edge of its bin: bfloat16, float16 with 19 bits, whole numbers, scores that are all equal.

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
        self.reset()

    def reset(self) -> Self:
        self.sums = torch.zeros(self._num_cells + 4, dtype=torch.int64)
        return self

    def update(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Self:
        values, positive, wrong = self._forms(output.detach(), target.detach())
        self._move(output)
        bins, edge = bins_of(values, self.scores, self.bits)
        if values.ndim > 1:
            bins = bins + torch.arange(values.shape[1], device=values.device, dtype=torch.int32) * 2**self.bits
        broken = values.isnan() if self.scores == "logits" else ~((values >= 0) & (values <= 1))
        cells = bins.mul_(2).add_(positive).masked_fill_(broken, self._num_cells + BROKEN)
        if wrong is not None:
            cells.masked_fill_(wrong, self._num_cells + WRONG)
        if self.ignore_index is not None:
            ignored = target.detach().reshape(len(values), -1) == self.ignore_index
            cells.masked_fill_(ignored.reshape(values.shape) if ignored.numel() == values.numel() else ignored,
                               self._num_cells + IGNORED_ROWS)  # fmt: skip
        weights = None
        if weight is not None:
            weights = flat_weight(weight, values)
        self.sums = add_at(self.sums, cells.reshape(-1), weights)
        self.sums[self._num_cells + ROUNDED] += (~edge).sum()
        return self

    def compute(self) -> dict[str, Value]:
        return averages(self.kind, [self._column(k) for k in range(self._num_columns)])

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

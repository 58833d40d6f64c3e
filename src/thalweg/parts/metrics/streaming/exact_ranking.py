"""Areas under the ROC and the precision-recall curve over batches, exactly, from all scores (L43)."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.parts.metrics.forms import Scores, binary_scores, label_matrix, label_scores
from thalweg.parts.metrics.ranking import average_precision, roc_auc
from thalweg.parts.metrics.several_classes import class_odds
from thalweg.parts.metrics.streaming.rank_forms import (
    ONE_CLASS,
    RankKind,
    averages,
    check_settings,
    check_shapes,
    one_score,
    shortened,
)
from thalweg.parts.metrics.streaming.streaming import Streaming, row_weights
from thalweg.parts.metrics.values import Value


@dataclass(eq=False)
class ExactRanking(Streaming):
    """Area under the ROC curve and average precision over batches, exactly: every score is kept.

    Scores are kept in their own dtype, labels in one or two bytes: 6 bytes a row for float32 scores of a binary task,
    where `Ranking` takes 4 MiB for any number of rows.

    Args:
        kind: `"binary"`; `"multiclass"`, each class against the rest; `"multilabel"`.
        num_classes: C, classes or labels; 2 of a binary task.
        scores: what the outputs hold. Several classes' logits are ranked by `log p/(1-p)`.
        ignore_index: the label of rows that count nowhere; None for none. Of a multi-label task such a row has it in
            every label.

    Outputs, targets and errors are those of `Ranking`.

    >>> ranking = ExactRanking()
    >>> for scores, target in [([60.5, 61.0], [0, 1]), ([62.0, 60.0], [1, 0])]:
    ...     _ = ranking.update(torch.tensor(scores), torch.tensor(target))
    >>> print(ranking.compute()["average_precision"])
    1

    Source: Mann and Whitney 1947; lecture row L43. As scikit-learn on all rows at once.
    """

    STATE: ClassVar[tuple[str, ...]] = ("outputs", "targets", "weights")
    kind: RankKind = "binary"
    num_classes: int = 2
    _: KW_ONLY
    scores: Scores = "logits"
    ignore_index: int | None = None
    kept: list[tuple[Tensor, Tensor, Tensor]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_settings(self.kind, self.num_classes, self.scores)
        self.reset()

    def reset(self) -> Self:
        self.kept = []
        return self

    def update(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Self:
        output, target = output.detach(), target.detach()
        check_shapes(output, target, self.kind, self.num_classes)
        small = target if target.is_floating_point() or target.dtype == torch.bool else shortened(target)
        weights = torch.empty(0, dtype=torch.float64) if weight is None else row_weights(weight, target).clone()
        values = one_score(output, self.scores) if self.kind == "binary" else output
        self.kept.append((table(values).clone(), table(small).clone(), weights))
        return self

    def compute(self) -> dict[str, Value]:
        outputs, targets, weights = (tensor.cpu() for tensor in self._joined())
        if self.ignore_index is not None:
            kept = (targets != self.ignore_index).any(1)
            outputs, targets = outputs[kept], targets[kept]
            weights = weights[kept] if len(weights) else weights
        weight = weights if len(weights) else None
        return averages(self.kind, [self._areas(*column, weight) for column in self._columns(outputs, targets)])

    def _columns(self, output: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The `[N]` scores and 0 or 1 of the task, or of each class or label."""
        if self.kind == "binary":
            yield binary_scores(output, self.scores), target.reshape(-1)
        elif self.kind == "multilabel":
            values = label_scores(output, self.scores)
            true = label_matrix(target, self.num_classes)
            yield from ((values[:, k], true[:, k].long()) for k in range(self.num_classes))
        else:
            odds, classes = class_odds(output, target.reshape(-1), self.scores)
            yield from ((odds[:, k], (classes == k).long()) for k in range(self.num_classes))

    def _areas(self, score: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Value, Value]:
        area, precision = roc_auc(score, target, weight=weight), average_precision(score, target, weight=weight)
        shares = torch.ones(len(target), dtype=torch.float64) if weight is None else weight
        rows, found = float(shares.sum()), float(shares[target == 1].sum())
        reason = "" if 0 < found < rows else ONE_CLASS if rows else "there are no rows"
        return Value(area, rows, reason), Value(precision, found if not reason else rows, reason)

    def _joined(self) -> tuple[Tensor, Tensor, Tensor]:
        """All rows as three tensors, which then stand for the batches; weights are empty where no batch had any."""
        if len(self.kept) != 1:
            weighted = any(len(weights) for *_, weights in self.kept)
            parts = [
                (
                    output,
                    target,
                    torch.ones(len(output), dtype=torch.float64) if weighted and not len(weights) else weights,
                )
                for output, target, weights in self.kept
            ]
            width = 1 if self.kind == "binary" else self.num_classes
            empty = (
                torch.empty(0, width),
                torch.empty(0, width, dtype=torch.int16),
                torch.empty(0, dtype=torch.float64),
            )
            columns = zip(*parts, strict=True) if parts else ((tensor,) for tensor in empty)
            outputs, targets, weights = (torch.cat([t.cpu() for t in tensors]) for tensors in columns)
            self.kept = [(outputs, targets, weights)]
        return self.kept[0]

    def _add(self, other: Self) -> None:
        self.kept = [*self.kept, *other.kept]

    def state_dict(self) -> dict[str, Tensor]:
        return {name: t.detach().cpu().clone() for name, t in zip(self.STATE, self._joined(), strict=True)}

    def load_state_dict(self, state: dict[str, Tensor]) -> Self:
        if set(state) != set(self.STATE):
            raise UsageError(f"The state of {self!r} has the tensors {self.STATE}; received {tuple(state)}.")
        self.kept = [(state["outputs"].clone(), state["targets"].clone(), state["weights"].clone())]
        return self


def table(values: Tensor) -> Tensor:
    """`[N]` as `[N, 1]`."""
    return values[:, None] if values.ndim == 1 else values

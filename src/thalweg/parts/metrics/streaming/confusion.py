"""The confusion matrix over batches, and the measures that follow from its counts (L41)."""

from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, Self

import torch
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics.decisions import values
from thalweg.parts.metrics.forms import check_word, neutral, positions
from thalweg.parts.metrics.streaming.streaming import Streaming, add_at, flat_weight, refuse_counted, refuse_weights
from thalweg.parts.metrics.values import Value

Answers = Literal["logits", "probabilities", "classes"]


@dataclass(eq=False)
class Confusion(Streaming):
    """The confusion matrix over batches, and what it yields: accuracy, precision, recall, F1, specificity, MCC, kappa.

    Every other measure of a matrix is one call: `tw.metrics.f_beta(confusion.matrix(), beta=2)`. With two classes
    `compute` measures class 1, with more the means over classes.

    Args:
        num_classes: C, at least 2.
        scores: what the outputs are: `"logits"`, `"probabilities"`, or `"classes"`, predicted class indices `[N]`.
        threshold: of two classes: 1 is predicted where its score exceeds it; probability 1/2 by default.
        ignore_index: the label of rows or positions that count nowhere, -100 in torch's losses; None for none.

    Outputs are `[N, C]` for targets `[N]`, also `[N]` or `[N, 1]` scores of class 1 where C is 2, or `[N, ..., C]` and
    `[N, C, ...]` for targets `[N, ...]`. The state is `(C + 3) (C + 1)` counts, int64 until rows have weights.

    Raises:
        UsageError: for fewer than 2 classes, unknown `scores`, a threshold with more than two classes.
        DataError: in `update` for shapes that do not fit; in `compute` for NaN and labels out of range among the rows.

    >>> confusion = Confusion(3)
    >>> for output, target in [(torch.eye(3), torch.tensor([0, 1, 1])), (torch.eye(3)[:1], torch.tensor([0]))]:
    ...     confusion.update(output, target)
    Confusion(num_classes=3, scores='logits', threshold=None, ignore_index=None)
    Confusion(num_classes=3, scores='logits', threshold=None, ignore_index=None)
    >>> confusion.matrix().tolist(), confusion.compute()["accuracy"].value
    ([[2, 0, 0], [0, 1, 1], [0, 0, 0]], 0.75)

    Source: lecture row L41. torchmetrics has an object per measure, waits for the device in each `update` to look at
    the values, and decides batch by batch whether outputs are logits.
    """

    num_classes: int
    _: KW_ONLY
    scores: Answers = "logits"
    threshold: float | None = None
    ignore_index: int | None = None
    sums: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_word("scores", self.scores, Answers)
        if self.num_classes < 2:
            raise UsageError(f"num_classes is at least 2; received {self.num_classes}.")
        if self.threshold is not None and (self.num_classes > 2 or self.scores == "classes"):
            raise UsageError("A threshold belongs to scores of two classes. Leave it out.")
        self.reset()

    def reset(self) -> Self:
        # Rows: labels below 0 or broken, the classes, labels above C - 1, ignored. Last column: no usable answer.
        self.sums = torch.zeros((self.num_classes + 3) * (self.num_classes + 1), dtype=torch.int64)
        return self

    def update(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Self:
        column, row = self._answers(output.detach(), target.detach())
        self._move(output)
        index = torch.add(column, row, alpha=self.num_classes + 1)
        self.sums = add_at(self.sums, index, flat_weight(weight, target))
        return self

    def compute(self) -> dict[str, Value]:
        return values(self.matrix())

    def matrix(self) -> Tensor:
        """`[C, C]` counts on the CPU: row = true class, column = predicted class. Synchronizes the device.

        Raises:
            DataError: for NaN among the outputs, labels out of range, or weights that are none.
        """
        table = self.sums.cpu().view(self.num_classes + 3, self.num_classes + 1)
        refuse_weights(table)
        counted = table[:-1]
        wrong = float(counted[0].sum() + counted[-1].sum())
        refuse_counted(float(counted[:, -1].sum()), wrong, self.num_classes)
        return counted[1:-1, :-1].clone()

    def _answers(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """`[N]` columns and rows of the table."""
        num_classes = self.num_classes
        if self.scores == "classes":
            same_classes(output, target)
            answer = output.reshape(-1).long()
            return answer.masked_fill((answer < 0) | (answer >= num_classes), num_classes), self._rows(target)
        if num_classes == 2 and output.numel() == target.numel() and output.shape[:1] == target.shape[:1]:
            score = output.reshape(-1)
            answer = (score > self._cut).long()
            return answer.masked_fill_(self._broken(score), num_classes), self._rows(target)
        if output.ndim == 2:
            target = target.reshape(-1)
        else:
            output, target = positions(output, target)
        if output.shape != (len(target), num_classes):
            raise DataError(
                f"{num_classes} classes need outputs [N, {num_classes}] for targets [N]; received {list(output.shape)} "
                f"and {list(target.shape)}."
            )
        best, answer = output.max(1)  # a NaN is the largest
        if self.threshold is not None:
            score = output[:, 1] if self.scores == "probabilities" else output[:, 1] - output[:, 0]
            answer = (score > self.threshold).long()
        return answer.masked_fill_(self._broken(best), num_classes), self._rows(target)

    @property
    def _cut(self) -> float:
        return (
            neutral("logits" if self.scores == "logits" else "probabilities")
            if self.threshold is None
            else self.threshold
        )

    def _broken(self, score: Tensor) -> Tensor:
        return score.isnan() if self.scores == "logits" else ~((score >= 0) & (score <= 1))

    def _rows(self, target: Tensor) -> Tensor:
        flat = target.reshape(-1)
        row = flat.long().clamp(-1, self.num_classes).add_(1)
        if flat.is_floating_point():
            row = row.masked_fill_(flat != flat.round(), 0)
        return row if self.ignore_index is None else row.masked_fill_(flat == self.ignore_index, self.num_classes + 2)


def same_classes(output: Tensor, target: Tensor) -> None:
    """Raises `DataError` where predicted classes are no integers in the shape of the target."""
    if output.is_floating_point() or output.shape != target.shape:
        raise DataError(
            f"Predicted classes are integers in the shape of the target; received {output.dtype} {list(output.shape)} "
            f'and {list(target.shape)}. Scores need scores="logits" or "probabilities".'
        )

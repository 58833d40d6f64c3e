"""Measures of several labels per row over batches (L41)."""

from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics import multilabel
from thalweg.parts.metrics.forms import Scores, check_word, neutral
from thalweg.parts.metrics.streaming.streaming import Streaming, flat_weight, refuse_counted, refuse_weights
from thalweg.parts.metrics.values import Value

SHARES: tuple[multilabel.Share, ...] = ("precision", "recall", "f_beta", "jaccard")


@dataclass(eq=False)
class Multilabel(Streaming):
    """Measures of several labels per row over batches: F1, precision, recall, Jaccard, Hamming loss, subset accuracy.

    Each share in four averages: `"micro_f1"`, `"macro_f1"`, `"weighted_f1"`, `"samples_f1"`. Any other measure of the
    counts is one call: `tw.metrics.label_share(labels.counts(), "f_beta", beta=2)`.

    Args:
        num_labels: T, at least 1.
        scores: what the outputs hold.
        threshold: a label is called where its score exceeds it; probability 1/2 by default.

    Outputs are `[N, T]`, targets `[N, T]` of 0 and 1. The state is 6 T + 10 numbers.

    Raises:
        UsageError: for settings out of range.
        DataError: in `update` for shapes that do not fit; in `compute` for NaN, what is no probability, and targets
            other than 0 and 1 among the rows.

    >>> labels = Multilabel(2)
    >>> _ = labels.update(torch.tensor([[2.0, -1.0], [1.0, 1.0]]), torch.tensor([[1, 0], [0, 1]]))
    >>> print(labels.compute()["micro_f1"], labels.compute()["hamming_loss"])
    0.8 0.25

    Source: Tsoumakas and Katakis 2007; lecture row L41. As `tw.metrics.label_share` and `sample_share` on all rows.
    """

    STATE: ClassVar[tuple[str, ...]] = ("sums", "rows", "refused")
    num_labels: int
    _: KW_ONLY
    scores: Scores = "logits"
    threshold: float | None = None
    sums: Tensor = field(init=False, repr=False)
    rows: Tensor = field(init=False, repr=False)
    refused: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_word("scores", self.scores, Scores)
        if self.num_labels < 1:
            raise UsageError(f"num_labels is at least 1; received {self.num_labels}.")
        self.reset()

    def reset(self) -> Self:
        self.sums = torch.zeros(6, self.num_labels, dtype=torch.float64)  # of `multilabel.counts`
        self.rows = torch.zeros(2, len(SHARES), dtype=torch.float64)  # sums of the rows' shares, and of their weights
        self.refused = torch.zeros(2, dtype=torch.float64)  # rows whose output, and whose target, cannot be used
        return self

    def update(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Self:
        if output.shape != target.shape or output.shape[1:] != (self.num_labels,):
            raise DataError(
                f"Outputs and targets are [N, {self.num_labels}]; received {list(output.shape)} and "
                f"{list(target.shape)}."
            )
        output, target = output.detach(), target.detach()
        weights = flat_weight(weight, target[:, 0])
        self._move(output)
        found = output > (neutral(self.scores) if self.threshold is None else self.threshold)
        true = target == 1
        broken = (output.isnan() if self.scores == "logits" else ~((output >= 0) & (output <= 1))).any(1)
        wrong = ((target != 0) & (target != 1)).any(1)
        good = ~(broken | wrong)
        share = (good.double() if weights is None else weights.masked_fill(~good, 0.0)).to(self.sums.device)
        found, true = found.to(share.device), true.to(share.device)
        self.sums = self.sums + multilabel.counts_of(found, true, weight=share)
        values = torch.stack([multilabel.row_shares(found, true, name) for name in SHARES])
        defined = ~values.isnan()
        self.rows = self.rows + torch.stack([(values.nan_to_num(0.0) * share).sum(1), (defined * share).sum(1)])
        self.refused = self.refused + torch.stack([broken.sum(), wrong.sum()]).to(share.device)
        return self

    def counts(self) -> Tensor:
        """`[6, T]` of `multilabel.counts` on the CPU, float64. Synchronizes the device."""
        refused = self.refused.cpu()
        refuse_counted(float(refused[0]), float(refused[1]), 2)
        sums = self.sums.cpu()
        refuse_weights(sums)
        return sums

    def compute(self) -> dict[str, Value]:
        counts, (totals, weights) = self.counts(), self.rows.cpu()
        rows = float(counts[multilabel.ROWS, 0])
        labels = float(counts[multilabel.TRUE_POSITIVE].sum() + counts[multilabel.FALSE_NEGATIVE].sum())
        none = "" if rows else "there are no rows"
        unlabeled = none or ("" if labels else "no row has any label")
        averages: tuple[multilabel.LabelAverage, ...] = ("micro", "macro", "weighted")
        found = {}
        for k, share in enumerate(SHARES):
            name = "f1" if share == "f_beta" else share
            for average in averages:
                value = multilabel.label_share(counts, share, average=average)
                found[f"{average}_{name}"] = Value(value, labels, unlabeled)
            weight = float(weights[k])
            reason = none or ("" if weight else "0/0 in every row")
            found[f"samples_{name}"] = Value(float(totals[k] / weights[k]), weight, reason)
        found["subset_accuracy"] = Value(multilabel.subset_accuracy(counts), rows, none)
        found["hamming_loss"] = Value(multilabel.hamming_loss(counts), rows * self.num_labels, none)
        return found

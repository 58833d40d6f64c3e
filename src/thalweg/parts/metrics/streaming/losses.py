"""Log loss, perplexity and Brier score over batches (L41)."""

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.errors import DataError
from thalweg.parts.metrics.forms import SUM_TOLERANCE, Scores, check_word, positions
from thalweg.parts.metrics.streaming.streaming import Streaming, flat_weight, refuse_counted, refuse_weights
from thalweg.parts.metrics.values import Value

BLOCK = 2**20  # outputs that are converted to float64 at once: 8 MiB, where those of a language model would be many GB
WEIGHT, LOSS, SQUARE, NAN, WRONG = range(5)


@dataclass(eq=False)
class LogLoss(Streaming):
    """Log loss, perplexity and Brier score over batches.

    `1/N Σ -log p(true class)` in nats, its `exp`, and `1/N Σ_n Σ_k (p_nk - [y_n = k])²` (of two classes half of it, as
    is usual). Everything is summed in float64, so that the mean is that over all rows, not over batches.

    Args:
        scores: what the outputs hold, `"logits"` or `"probabilities"`.
        ignore_index: the label of rows or positions that count nowhere, -100 in torch's losses; None for none.

    Outputs are `[N, C]`, `[N]` or `[N, 1]` (of class 1) for targets `[N]`; `[N, ..., C]` or `[N, C, ...]` for targets
    `[N, ...]`. The state is 5 numbers.

    Raises:
        UsageError: for unknown `scores`.
        DataError: in `update` for shapes that do not fit; in `compute` for NaN, what is no probability, and labels out
            of range among the rows.

    >>> loss = LogLoss(ignore_index=-100)
    >>> _ = loss.update(torch.zeros(2, 5, 65), torch.randint(65, (2, 5)))
    >>> round(loss.compute()["perplexity"].value, 6)
    65.0

    Source: Good 1952; Brier 1950; lecture row L41. torchmetrics' perplexity is summed in float32.
    """

    _: KW_ONLY
    scores: Scores = "logits"
    ignore_index: int | None = None
    sums: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_word("scores", self.scores, Scores)
        self.reset()

    def reset(self) -> Self:
        self.sums = torch.zeros(5, dtype=torch.float64)
        return self

    def update(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Self:
        values, true = self._forms(output.detach(), target.detach())
        weights = flat_weight(weight, target)
        self._move(output)
        step = max(1, BLOCK // max(values[:1].numel(), 1))
        for start in range(0, len(true), step):
            rows = slice(start, start + step)
            self.sums = self.sums + self._sums(values[rows], true[rows], None if weights is None else weights[rows])
        return self

    def compute(self) -> dict[str, Value]:
        sums = self.sums.cpu()
        refuse_weights(sums[WEIGHT])
        weight, loss, square, nan, wrong = sums.tolist()
        refuse_counted(nan, wrong, None)
        reason = "" if weight else "there are no rows"
        mean = loss / weight if weight else math.nan
        found = {
            "log_loss": mean,
            "perplexity": math.exp(mean) if not mean > 700 else math.inf,
            "brier": square / weight if weight else math.nan,
        }
        return {name: Value(value, weight, reason) for name, value in found.items()}

    def _forms(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs `[N]` of class 1 or `[N, C]`, and `[N]` labels."""
        if output.numel() == target.numel() and output.shape[:1] == target.shape[:1]:
            return output.reshape(-1), target.reshape(-1)
        if output.ndim > 2:
            return positions(output, target)
        if output.ndim != 2 or len(output) != target.numel():
            raise DataError(
                f"Outputs are [N, C] for targets [N]; received {list(output.shape)} and {list(target.shape)}."
            )
        return output, target.reshape(-1)

    def _sums(self, output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        values = output.to(self.sums.device, torch.float64)
        counted = (
            torch.ones_like(target, dtype=torch.bool) if self.ignore_index is None else target != self.ignore_index
        )
        label = target.long()
        wrong = (label < 0) | (label >= (2 if values.ndim == 1 else values.shape[1])) | (label != target)
        loss, square, broken = self._losses(values, label.masked_fill(wrong, 0))
        good = counted & ~wrong & ~broken
        weight = good.double() if weight is None else weight.masked_fill(~good, 0.0)
        used = weight != 0  # an infinite loss of weight 0 counts nowhere
        loss, square = (torch.where(used, weight * part, 0.0).sum() for part in (loss, square))
        return torch.stack(
            [weight.sum(), loss, square, (counted & broken).sum().double(), (counted & wrong).sum().double()]
        )

    def _losses(self, values: Tensor, true: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[N]` each: the loss, the squared error, and whether the output cannot be used."""
        if values.ndim == 1:
            if self.scores == "logits":
                loss, p = -functional.logsigmoid(torch.where(true == 1, values, -values)), values.sigmoid()
                return loss, (p - true).square(), values.isnan()
            p = torch.where(true == 1, values, 1 - values)
            return -p.log(), (1 - p).square(), ~((values >= 0) & (values <= 1))
        logs = values.log_softmax(1) if self.scores == "logits" else values.log()
        p = logs.exp() if self.scores == "logits" else values
        own = p.gather(1, true[:, None])[:, 0]
        square = p.square().sum(1) - own.square() + (1 - own).square()
        broken = logs.isnan().any(1)
        if self.scores == "probabilities":
            broken = ((values < 0) | (values > 1)).any(1) | ~((values.sum(1) - 1).abs() <= SUM_TOLERANCE)
        return -logs.gather(1, true[:, None])[:, 0], square / (2 if values.shape[1] == 2 else 1), broken

"""The reliability curve and the calibration error over batches (L41)."""

from dataclasses import KW_ONLY, dataclass, field
from typing import Self

import torch
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics.calibration import BINS, Binning, Norm, Reliability, error_of, from_sums
from thalweg.parts.metrics.forms import Scores, check_word
from thalweg.parts.metrics.streaming.keys import bins_of
from thalweg.parts.metrics.streaming.streaming import Streaming, flat_weight, refuse_counted, refuse_weights
from thalweg.parts.metrics.values import Value

FINE = 12  # bits of the fine bins that bins of equal mass are made of: 16 for each octave of p, and of 1 - p


@dataclass(eq=False)
class Calibration(Streaming):
    """The reliability curve and the calibration error over batches, in constant memory.

    Bins of equal width are those of `tw.metrics.calibration_error`. Bins of equal mass are made of neighbors among
    4,096 fine bins, whose sums are kept: the mean probability and the share of events of each bin are exact, and their
    edges lie within a sixteenth of an octave of p (or 1 - p) from where equal numbers of rows would part.

    Args:
        scores: what the outputs hold.
        bins: their number, at least 1.
        binning: `"mass"`, bins of about equal numbers of rows, or `"width"`, of equal width.
        ignore_index: the label of rows that count nowhere; None for none.

    Outputs are `[N]` or `[N, 1]`, of class 1 of two, or `[N, C]`, of which the chosen class is judged (of class 1 with
    C = 2); targets `[N]`.

    Raises:
        UsageError: for settings out of range.
        DataError: in `update` for shapes that do not fit; in `compute` for NaN, what is no probability, and labels out
            of range among the rows.

    >>> calibration = Calibration(scores="probabilities", bins=2, binning="width")
    >>> _ = calibration.update(torch.tensor([0.25, 0.25, 0.75, 0.75]), torch.tensor([0, 1, 1, 1]))
    >>> print(calibration.compute()["calibration_error"], calibration.reliability().observed.tolist())
    0.25 [0.5, 1.0]

    Source: Naeini, Cooper and Hauskrecht 2015; Kumar, Liang and Ma 2019; lecture row L41. torchmetrics keeps every row,
    and decides batch by batch whether it was given logits.
    """

    _: KW_ONLY
    scores: Scores = "logits"
    bins: int = BINS
    binning: Binning = "mass"
    ignore_index: int | None = None
    sums: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_word("scores", self.scores, Scores)
        check_word("binning", self.binning, Binning)
        if self.bins < 1:
            raise UsageError(f"bins is at least 1; received {self.bins}.")
        self.reset()

    def reset(self) -> Self:
        # Of each bin weight, p, event, (event - p)², p(1 - p), rows; behind them broken rows and wrong labels.
        self.sums = torch.zeros(6, (2**FINE if self.binning == "mass" else self.bins) + 1, dtype=torch.float64)
        return self

    def update(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Self:
        p, event, wrong = self._forms(output.detach(), target.detach())
        weights = flat_weight(weight, target.reshape(-1))
        self._move(output)
        broken = ~((p >= 0) & (p <= 1))
        flat = target.detach().reshape(-1)
        counted = ~(broken | wrong)
        seen = torch.ones_like(counted) if self.ignore_index is None else flat != self.ignore_index
        share = (counted & seen).double()
        share = share if weights is None else weights.masked_fill(share == 0, 0.0)
        p = p.masked_fill(broken, 0.0)
        gap = event - p
        parts = [share, share * p, share * event, share * gap.square(), share * p * (1 - p), (share > 0).double()]
        self.sums = self.sums.index_add_(1, self._bins(p), torch.stack(parts))
        self.sums[:2, -1] += torch.stack([(broken & seen).sum(), (wrong & seen).sum()])
        return self

    def compute(self) -> dict[str, Value]:
        """`"calibration_error"`, and debiased. Other norms: `calibration_error(norm="l2")`."""
        return {
            "calibration_error": self.calibration_error(),
            "debiased_calibration_error": self.calibration_error(debiased=True),
        }

    def calibration_error(self, *, norm: Norm = "l1", debiased: bool = False) -> Value:
        """The calibration error, as `tw.metrics.calibration_error`. Synchronizes the device.

        Args:
            norm: `"l1"`, `"l2"` or `"max"`.
            debiased: without the expected part of noise.
        """
        table = self.reliability()
        count = float(table.count.sum())
        return Value(error_of(table, norm=norm, debiased=debiased), count, "" if count else "there are no rows")

    def reliability(self) -> Reliability:
        """The reliability curve, as `tw.metrics.reliability`. Synchronizes the device."""
        sums = self.sums.cpu()
        refuse_weights(sums)
        refuse_counted(float(sums[0, -1]), float(sums[1, -1]), None)
        sums, rows = sums[:5, :-1], sums[5, :-1]
        if self.binning == "mass":
            # A fine bin goes to the coarse one in which its first row would be.
            coarse = ((rows.cumsum(0) - rows) * self.bins / rows.sum().clamp_min(1)).long().clamp_max(self.bins - 1)
            sums = torch.zeros(5, self.bins, dtype=torch.float64).index_add_(1, coarse, sums)
        return from_sums(sums)

    def _bins(self, p: Tensor) -> Tensor:
        if self.binning == "mass":
            return bins_of(p, "probabilities", FINE)[0]
        edges = torch.linspace(0, 1, self.bins + 1, dtype=torch.float64, device=p.device)[1:-1]
        return torch.searchsorted(edges, p)

    def _forms(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[N]` each: float64 probability, whether the event happened (1 or 0), and whether the label is wrong."""
        label = target.reshape(-1)
        device = torch.device("cpu") if output.device.type == "mps" else output.device
        values = output.to(device, torch.float64)
        if output.ndim > 2 or len(output) != len(label) or target.numel() != len(target):
            raise DataError(
                f"Outputs are [N] or [N, C] for targets [N]; received {list(output.shape)} and {list(target.shape)}."
            )
        if values.ndim == 1 or values.shape[1] == 1:
            p = values.reshape(-1)
            p = p.sigmoid() if self.scores == "logits" else p
            return p, (label == 1).double(), (label != 0) & (label != 1)
        p = values.softmax(1) if self.scores == "logits" else values
        wrong = (label < 0) | (label >= p.shape[1]) | (label.long() != label)
        if p.shape[1] == 2:
            return p[:, 1], (label == 1).double(), wrong
        best, answer = p.max(1)
        return best, (answer == label).double(), wrong

"""Areas of a histogram of scores, each with the bound that the histogram itself guarantees (L43)."""

import torch
from torch import Tensor


def auc_of_bins(positive: Tensor, negative: Tensor, *, tied: bool) -> tuple[float, float]:
    """The area under the ROC curve of `[B]` float64 weights by bin, from the highest, and how far it may be off.

    Rows of one bin are taken for tied, hence 1/2 for each pair of them. In truth such a pair has 0 to 1, so that the
    area is off by at most `1/2 Σ_b P_b N_b / (P N)`; by nothing where the bins hold equal scores (`tied`).

    >>> auc_of_bins(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 2.0]), tied=False)
    (0.666..., 0.222...)
    """
    total = float(positive.sum() * negative.sum())
    above = positive.cumsum(0) - positive
    inside = float((positive * negative).sum())
    value = (float((above * negative).sum()) + inside / 2) / total
    return value, 0.0 if tied else inside / 2 / total


def average_precision_of_bins(positive: Tensor, negative: Tensor, *, tied: bool, weighted: bool) -> tuple[float, float]:
    """The average precision of `[B]` float64 weights by bin, from the highest, and how far it may be off.

    Of T true and F false rows above a bin with p and n, whatever the order inside:
    - each positive row has at most the precision of all p before all n, `(T + p) / (T + p + F)`;
    - the i-th has at least that of all n before it, `f(T + i) = (T + i) / (T + i + F + n)`. f is concave, so that the
      mean of these is at least `(f(T + 1) + f(T + p)) / 2`, with weights `(f(T) + f(T + p)) / 2`.
    The value takes the negative rows for evenly spread among the positive ones.

    >>> average_precision_of_bins(torch.tensor([2.0, 1.0]), torch.tensor([0.0, 2.0]), tied=True, weighted=False)
    (0.866..., 0.0)
    """
    filled = positive.nonzero()[:, 0]
    p, n = positive[filled], negative[filled]
    true, false = positive.cumsum(0)[filled] - p, negative.cumsum(0)[filled] - n
    last = true + p
    if tied:
        return float((p * last / (last + false + n)).sum() / p.sum()), 0.0
    highest = last / (last + false)
    first = true if weighted else true + p.clamp_max(1)
    lowest = (share(first, false + n) + share(last, false + n)) / 2
    step = p.clamp_max(1)
    spread = (share(true + step, false + n * step / (p + step)) + share(last, false + n * p / (p + step))) / 2
    value, low, high = (float((p * part).sum() / p.sum()) for part in (spread, lowest, highest))
    value = min(max(value, low), high)
    return value, max(high - value, value - low)


def share(true: Tensor, false: Tensor) -> Tensor:
    """`true / (true + false)`; 1 of nothing."""
    return torch.where(true + false > 0, true / (true + false), 1.0)

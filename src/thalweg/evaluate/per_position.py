"""The measures of one class per position: tokens, pixels. Rows are resampled whole, not positions (L41).

The positions of a row depend on each other, so that an interval over single positions would be far too narrow.
"""

import math

from torch import Tensor

from thalweg.errors import DataError
from thalweg.evaluate.bootstrap import Statistic, bootstrap
from thalweg.evaluate.estimates import undefined, with_interval
from thalweg.evaluate.intervals import Interval, wilson
from thalweg.evaluate.result import Result
from thalweg.evaluate.weighted import ratio_by_weight
from thalweg.parts.metrics.per_position import COUNT, HITS, LOSS, accuracy, log_loss, perplexity


def measure_per_position(sums: Tensor, *, seed: int, replicates: int) -> Result:
    """Measures from the sums of each row, `[N, 3]` as `row_sums` makes them: the outputs are not needed together."""
    if not bool(sums.isfinite().all()):
        raise DataError("A loss is infinite or NaN, so nothing can be measured. Look for an overflow in the network.")
    kept = sums[sums[:, COUNT] > 0]
    total = kept.sum(0)
    num_positions = int(total[COUNT])
    note = f"over {num_positions:,} positions; rows are resampled whole"
    if not num_positions:
        nothing = [undefined(name, "no position counts", 0) for name in ("accuracy", "perplexity", "log_loss")]
        return Result("per_position", len(sums), tuple(nothing))
    right = interval_of(kept[:, HITS], kept[:, COUNT], seed=seed, replicates=replicates, unit=True)
    loss = interval_of(kept[:, LOSS], kept[:, COUNT], seed=seed, replicates=replicates)
    low, high = (None if limit is None else exponential(limit) for limit in (loss.low, loss.high))
    spread = Interval(low, high, loss.method, loss.note)  # the exponential is monotone
    measures = (
        with_interval("accuracy", accuracy(total), right, num_positions, note),
        with_interval("perplexity", perplexity(total), spread, num_positions),
        with_interval("log_loss", log_loss(total), loss, num_positions),
    )
    return Result("per_position", len(sums), measures)


def interval_of(totals: Tensor, sizes: Tensor, *, seed: int, replicates: int, unit: bool = False) -> Interval:
    """Of `sum of totals / sum of sizes` over rows, by the bootstrap; of shares that are all 0 or all 1 Wilson's."""
    value = float(totals.sum() / sizes.sum())
    interval = bootstrap(
        Statistic(ratio_by_weight(totals, sizes), len(totals), unit=unit),
        num_rows=len(totals),
        seed=seed,
        replicates=replicates,
    )
    if unit and interval.low is None and value in (0.0, 1.0):
        interval = Interval(*wilson(value * len(totals), len(totals)), "Wilson on the rows")
    low = None if interval.low is None else max(interval.low, 0.0)  # a loss is no less
    return Interval(low, interval.high, interval.method, interval.note)


def exponential(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf

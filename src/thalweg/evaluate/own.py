"""The measure of a task of the user's own, of which only the loss is known: its mean on the test rows."""

import math
from collections.abc import Sequence

import torch

from thalweg.errors import DataError
from thalweg.evaluate.result import Measure, Result
from thalweg.probes.student import quantile

FEWEST = 5  # batches from which their spread says something


def measure_own(losses: Sequence[float], sizes: Sequence[int]) -> Result:
    """The mean loss per row, with a 95 % interval from the spread of the batches.

    A loss of a whole batch tells nothing of its rows, so that batches are the units: Student's t on their losses, each
    weighted by its rows, with the variance of a ratio.

    Args:
        losses: mean loss of each batch.
        sizes: rows of each.

    Raises:
        DataError: where there are no rows.

    >>> print(measure_own([1.0, 2.0, 3.0, 2.0, 2.0], [4, 4, 4, 4, 4])["loss"])
    loss  2  [1.122, 2.878]
    """
    if not sizes:
        raise DataError("There are no rows to measure. Give the test part at least one row.")
    values, rows = torch.tensor(losses, dtype=torch.float64), torch.tensor(sizes, dtype=torch.float64)
    mean, count, batches = float((values * rows).sum() / rows.sum()), int(rows.sum()), len(sizes)
    if not math.isfinite(mean):
        return Result("own", count, (Measure("loss", mean, count=count, note="not finite on some batch"),))
    if batches < FEWEST:
        note = f"no interval: {batches} batch{'es' if batches > 1 else ''} of rows"
        return Result("own", count, (Measure("loss", mean, count=count, note=note),))
    share = rows / rows.mean()
    variance = float((share * (values - mean)).square().sum()) / (batches - 1) / batches
    half = quantile(0.025, batches - 1) * math.sqrt(variance)
    measure = Measure("loss", mean, mean - half, mean + half, f"t over {batches} batches", count)
    return Result("own", count, (measure,))

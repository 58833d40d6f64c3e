"""How a quantity changes from layer to layer: the slope of its logarithm, with an interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, nan, sqrt

from thalweg.probes.student import quantile


@dataclass(frozen=True)
class Slope:
    """Change of the natural logarithm per layer, with its 95 % interval; NaN where fewer than three layers tell.

    >>> slope_of([1.0, 0.5, 0.25, 0.125]).factor
    0.5
    """

    value: float
    low: float
    high: float

    @property
    def factor(self) -> float:
        """What the deviation is multiplied by per layer."""
        return round(exp(self.value), 12)

    def __str__(self) -> str:
        if self.value != self.value:
            return "not enough layers"
        return f"{self.value:+.3f} per layer ({self.low:+.3f} to {self.high:+.3f})"


def slope_of(values: Sequence[float]) -> Slope:
    """Least squares of log value over 0, 1, 2, ... with Student's interval; values of 0 are left out.

    The interval takes deviations of layers from the line for independent of one another.
    """
    points = [(float(i), log(value)) for i, value in enumerate(values) if 0 < value < float("inf")]
    count = len(points)
    if count < 3:
        return Slope(nan, nan, nan)
    mean_x, mean_y = (sum(column) / count for column in zip(*points, strict=True))
    square = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / square
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    half = quantile(0.025, count - 2) * sqrt(rest / (count - 2) / square)
    return Slope(slope, slope - half, slope + half)

"""Exponential moving average of the weights."""

from dataclasses import dataclass

from thalweg.errors import UsageError
from thalweg.parts.averaging.averaging import Averaging
from thalweg.parts.optimizers.optimizer import in_range


@dataclass(frozen=True, kw_only=True)
class EMA(Averaging):
    """An average that forgets: θ̄ ← d·θ̄ + (1 − d)·θ after each update.

    At update t the decay d is min(decay, (1 + t) / (10 + t)), so that the average does not hang on the first weights.

    Args:
        decay: from 0 (no average) to below 1. About 1 / (1 − decay) updates count; 0.999 suits trainings of some
            thousand updates, 0.9999 those of some hundred thousand.

    Raises:
        UsageError: for a decay out of range.

    >>> EMA(decay=0.99).share(1, 1000), round(EMA(decay=0.99).share(1000, 1000), 6)
    (0.8181818181818181, 0.01)

    Source: Polyak, Juditsky 1992; the warm-up as in TensorFlow's `ExponentialMovingAverage(num_updates=...)`.
    """

    decay: float = 0.999

    def __post_init__(self) -> None:
        if not in_range(self.decay, 0, 1):
            raise UsageError(f"EMA got decay={self.decay!r}; allowed: a number from 0 to below 1, such as 0.999.")

    def share(self, update: int, num_steps: int) -> float:
        return 1 - min(self.decay, (1 + update) / (10 + update))

"""Stochastic weight averaging: the equal average of the weights of the last part of the training."""

from dataclasses import dataclass

from thalweg.errors import UsageError
from thalweg.parts.averaging.averaging import Averaging
from thalweg.parts.optimizers.optimizer import in_range


@dataclass(frozen=True, kw_only=True)
class SWA(Averaging):
    """The equal average of the weights from a share of the training on; before it, the average is the weights.

        θ̄ = 1/n · (θ after update s + θ after update s + every + ...),   s = start · N + 1

    Args:
        start: share of the N updates before the first weights that count, from 0 to below 1.
        every: updates between two weights that count, at least 1.

    Raises:
        UsageError: for a value out of range.

    >>> [SWA(start=0.5).share(update, 10) for update in (4, 5, 6, 7, 8)]
    [1.0, 1.0, 1.0, 0.5, 0.3333333333333333]

    Source: Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization". They average once
    per epoch under a constant or cyclic rate: `every` of an epoch's updates, with `tw.schedules.Constant()`.
    """

    start: float = 0.75
    every: int = 1

    def __post_init__(self) -> None:
        if not in_range(self.start, 0, 1):
            raise UsageError(f"SWA got start={self.start!r}; allowed: a share from 0 to below 1.")
        if not in_range(self.every, 1) or not isinstance(self.every, int):
            raise UsageError(f"SWA got every={self.every!r}; allowed: an integer of at least 1.")

    def share(self, update: int, num_steps: int) -> float:
        counted = update - int(self.start * num_steps) - 1
        if counted <= 0:
            return 1.0
        return 1 / (counted // self.every + 1) if counted % self.every == 0 else 0.0

"""The rate falls by the same factor at every step (L27)."""

from dataclasses import dataclass

from thalweg.parts.schedules.schedule import Length, Schedule, period_of


@dataclass(frozen=True, kw_only=True)
class Exponential(Schedule):
    """Falls by the same factor at every step: by `reduction` over a stretch of the training (L27).

    With E = every · N, or `every` steps where it is an integer:

        factor(t) = reduction^(t / E)

    It is `Step` without the stairs: equal at the multiples of E.

    Args:
        every: over what the rate falls by `reduction`: a share of the training, or steps.
        reduction: above 0, up to 1. By default the rate ends at a hundredth.

    Raises:
        UsageError: for a value out of range.

    >>> [round(Exponential(reduction=0.01).factor(step, 4), 4) for step in range(4)]
    [1.0, 0.3162, 0.1, 0.0316]

    Source: Senior et al. 2013, "An empirical study of learning rates in deep neural networks for speech recognition".
    Equals torch's `ExponentialLR(gamma)` as `Exponential(every=1, reduction=gamma)`, where torch counts in calls, often
    one per epoch: a gamma of 0.9 per epoch is far too small per step.
    """

    every: Length = 1.0
    reduction: float = 0.01

    def __post_init__(self) -> None:
        self._check_length("every")
        self._check_reduction("reduction")

    def check(self, num_steps: int) -> None:
        self._require_fit("every", self.every, num_steps)

    def factor(self, step: int, num_steps: int) -> float:
        return float(self.reduction ** (step / period_of(self.every, num_steps)))

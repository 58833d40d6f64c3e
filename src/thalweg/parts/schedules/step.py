"""The rate falls by a factor at equal distances (L27)."""

from dataclasses import dataclass

from thalweg.parts.schedules.schedule import Length, Schedule, period_of


@dataclass(frozen=True, kw_only=True)
class Step(Schedule):
    """Multiplies the rate by `reduction` after every stretch of the training (L27).

    With E = every · N, or `every` steps where it is an integer, and t counted from 0:

        factor(t) = reduction^k,    k = the number of multiples of E that are reached at t, each rounded to a step

    Args:
        every: distance between two reductions: a share of the training, or steps. A third makes two reductions, since
            the end of the training is none.
        reduction: above 0, up to 1.

    Raises:
        UsageError: for a value out of range.

    >>> [round(Step(every=1 / 3).factor(step, 9), 4) for step in range(9)]
    [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]

    Source: He et al. 2016, "Deep Residual Learning", who divide by 10. Equals torch's `StepLR` (step_size E, gamma
    `reduction`), whose step_size is often counted in epochs; here every update counts.
    """

    every: Length = 1 / 3
    reduction: float = 0.1

    def __post_init__(self) -> None:
        self._check_length("every")
        self._check_reduction("reduction")

    def check(self, num_steps: int) -> None:
        self._require_fit("every", self.every, num_steps)

    def factor(self, step: int, num_steps: int) -> float:
        # Half a step more: a multiple counts from the step that is nearest to it, also where it was rounded down.
        return self.reduction ** int((step + 0.5) / period_of(self.every, num_steps))

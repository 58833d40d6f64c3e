"""The rate goes in a line from one share of the peak to another (L27)."""

from dataclasses import dataclass

from thalweg.parts.schedules.schedule import Length, Schedule, period_of, steps_of


@dataclass(frozen=True, kw_only=True)
class Linear(Schedule):
    """Goes in a line from `start` to `end`, and stays there (L27).

    With T = over · N, or `over` steps where it is an integer:

        factor(t) = start + (end − start) · min(t / T, 1)

    Args:
        start: share of the peak at the first step, from 0 to 1.
        end: share of the peak after T steps, from 0 to 1.
        over: how long the line is: a share of the training, or steps.

    Raises:
        UsageError: for a value out of range.

    >>> [Linear().factor(step, 4) for step in range(4)]
    [1.0, 0.75, 0.5, 0.25]

    Source: Defazio et al. 2023, "Optimal Linear Decay Learning Rate Schedules and Further Refinements", who find a line
    down to 0 the best of the common schedules. Equals torch's `LinearLR` (start_factor, end_factor, total_iters T),
    which by default rises from a third within 5 iterations; the default here falls to 0 over the whole training.
    """

    start: float = 1.0
    end: float = 0.0
    over: Length = 1.0

    def __post_init__(self) -> None:
        self._check_share("start")
        self._check_share("end")
        self._check_length("over")

    def check(self, num_steps: int) -> None:
        self._require_fit("over", self.over, num_steps)

    def warmup_steps(self, num_steps: int) -> int:
        return steps_of(self.over, num_steps) if self.end > self.start else 0

    def factor(self, step: int, num_steps: int) -> float:
        return self.start + (self.end - self.start) * min(step / period_of(self.over, num_steps), 1.0)

"""What every schedule is: the learning rate as a function of the step (L27)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import cos, pi

from thalweg.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """The rate as a share of its peak, the optimizer's `lr`. It has no state, so that a budget may be extended."""

    @abstractmethod
    def factor(self, step: int, num_steps: int) -> float:
        """What the peak rate is multiplied by.

        Args:
            step: number of updates made before this one, from 0 to `num_steps` − 1.
            num_steps: updates in the whole training, at least 1. Another number than before stretches the rest of
                the schedule: step 500 of 1,000 goes on as step 500 of 2,000.
        """

    def momentum(self, step: int, num_steps: int) -> float | None:
        """The momentum at a step, for schedules that cycle it; None leaves the optimizer's own."""
        return None

    def _check_share(self, name: str, *, below_one: bool = False) -> None:
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and (0 <= value < 1 or (value == 1 and not below_one))):
            allowed = "a share from 0 to below 1" if below_one else "a share from 0 to 1"
            raise UsageError(f"{type(self).__name__} got {name}={value!r}; allowed: {allowed}.")


def half_cosine(start: float, end: float, progress: float) -> float:
    """From `start` to `end` along half a cosine, level at both; `progress` beyond 1 stays at the end.

    >>> half_cosine(1.0, 0.0, 0.5)
    0.5
    """
    return end + (start - end) * (1 + cos(pi * min(progress, 1.0))) / 2

"""The constant rate."""

from dataclasses import dataclass

from thalweg.parts.schedules.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The peak rate at every step.

    >>> Constant().factor(7, 10)
    1.0
    """

    def factor(self, step: int, num_steps: int) -> float:
        return 1.0

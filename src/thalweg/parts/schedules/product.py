"""Several schedules at once: their product (L27)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from thalweg.parts.schedules.constant import Constant
from thalweg.parts.schedules.schedule import Measured, Schedule


@dataclass(frozen=True, kw_only=True)
class Product(Schedule):
    """Multiplies schedules that run at the same time (L27).

        factor(t) = factor_1(t) · factor_2(t) · …

    Args:
        parts: the schedules, at least one. At most one of them cycles the momentum.

    Raises:
        UsageError: for parts that are not schedules, or where two cycle the momentum.

    >>> from thalweg.parts.schedules import Linear, Step
    >>> schedule = Product(parts=(Linear(), Step(every=0.5)))
    >>> [round(schedule.factor(step, 4), 3) for step in range(4)]
    [1.0, 0.75, 0.05, 0.025]

    Source: torch's `ChainedScheduler`, which it equals for schedulers whose rate is a product; a chained
    `CosineAnnealingLR` with a lowest rate above 0 is none, and depends on the rates before.
    """

    parts: tuple[Schedule, ...] = (Constant(),)

    def __post_init__(self) -> None:
        self._check("parts", are_schedules(self.parts), "a tuple of schedules, such as (Linear(), Step())")
        cycling = [part for part in self.parts if part.momentum(0, 1) is not None]
        self._check("parts", len(cycling) < 2, "at most one part that cycles the momentum")

    def check(self, num_steps: int) -> None:
        for part in self.parts:
            part.check(num_steps)

    def warmup_steps(self, num_steps: int) -> int:
        return max(part.warmup_steps(num_steps) for part in self.parts)

    def informed(self, history: Sequence[Measured], num_steps: int) -> Schedule:
        return replace(self, parts=tuple(part.informed(history, num_steps) for part in self.parts))

    def factor(self, step: int, num_steps: int) -> float:
        return prod([part.factor(step, num_steps) for part in self.parts])

    def momentum(self, step: int, num_steps: int) -> float | None:
        cycled = (part.momentum(step, num_steps) for part in self.parts)
        return next((momentum for momentum in cycled if momentum is not None), None)


def are_schedules(parts: object) -> bool:
    """Whether it is a tuple of one schedule or more."""
    return isinstance(parts, tuple) and bool(parts) and all(isinstance(part, Schedule) for part in parts)

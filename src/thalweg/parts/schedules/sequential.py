"""Several schedules one after another (L27)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from thalweg.parts.schedules.constant import Constant
from thalweg.parts.schedules.linear import Linear
from thalweg.parts.schedules.multi_step import PLACES, are_places
from thalweg.parts.schedules.product import are_schedules
from thalweg.parts.schedules.schedule import Length, Measured, Schedule, steps_of


@dataclass(frozen=True, kw_only=True)
class Sequential(Schedule):
    """Runs schedules one after another, each as if its stretch were a training of its own (L27).

    With the places a_1 < a_2 < … in steps, a_0 = 0, and N at the end:

        factor(t) = factor_i(t − a_i), as in a training of a_{i+1} − a_i steps        a_i ≤ t < a_{i+1}

    Args:
        parts: the schedules. Either all of them cycle the momentum or none does.
        at: where the next one begins, one place less than parts: shares of the training, or steps, not both.

    Raises:
        UsageError: for values that do not fit together; before the training where a stretch has no step.

    >>> from thalweg.parts.schedules import Cosine
    >>> schedule = Sequential(parts=(Constant(), Cosine()), at=(0.5,))
    >>> [round(schedule.factor(step, 8), 3) for step in range(8)]
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.854, 0.5, 0.146]

    Source: torch's `SequentialLR` (schedulers, milestones), which it equals; there every scheduler is told the length
    of its stretch by hand.
    """

    parts: tuple[Schedule, ...] = (Constant(), Linear())
    at: tuple[Length, ...] = (0.8,)

    def __post_init__(self) -> None:
        self._check("parts", are_schedules(self.parts) and len(self.parts) > 1, "a tuple of two or more schedules")
        self._check("at", are_places(self.at), PLACES)
        places = len(self.parts) - 1
        self._check("at", len(self.at) == places, f"one place less than parts, here {places}")
        cycling = {part.momentum(0, 1) is not None for part in self.parts}
        self._check("parts", len(cycling) == 1, "parts that all cycle the momentum, or of which none does")

    def check(self, num_steps: int) -> None:
        for place in self.at:
            self._require_fit("at", place, num_steps, left=1)
        for part, begin, end in self._stretches(num_steps):
            if end > begin:  # a share of a short training may be no step
                part.check(end - begin)

    def warmup_steps(self, num_steps: int) -> int:
        first, _, length = self._at(0, num_steps)
        return first.warmup_steps(length)

    def informed(self, history: Sequence[Measured], num_steps: int) -> Schedule:
        parts = []
        for part, begin, end in self._stretches(num_steps):
            own = [m._replace(step=m.step - begin) for m in history if begin < m.step <= end]
            parts.append(part.informed(own, end - begin))
        return replace(self, parts=tuple(parts))

    def factor(self, step: int, num_steps: int) -> float:
        part, since, length = self._at(step, num_steps)
        return part.factor(since, length)

    def momentum(self, step: int, num_steps: int) -> float | None:
        part, since, length = self._at(step, num_steps)
        return part.momentum(since, length)

    def _at(self, step: int, num_steps: int) -> tuple[Schedule, int, int]:
        """The part of a step, the steps since it began, and how many it has."""
        begin = 0
        for part, place in zip(self.parts, self.at, strict=False):
            end = steps_of(place, num_steps)
            if step < end:
                return part, step - begin, end - begin
            begin = end
        return self.parts[-1], step - begin, max(num_steps - begin, 1)

    def _stretches(self, num_steps: int) -> list[tuple[Schedule, int, int]]:
        """Each part with its first step and the one after its last."""
        edges = [0, *(steps_of(place, num_steps) for place in self.at), num_steps]
        return [(part, begin, end) for part, (begin, end) in zip(self.parts, pairwise(edges), strict=True)]

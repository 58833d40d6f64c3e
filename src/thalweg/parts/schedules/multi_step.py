"""The rate falls by a factor at chosen places (L27)."""

from dataclasses import dataclass
from itertools import pairwise

from thalweg.parts.schedules.schedule import Length, Schedule, is_length, steps_of


@dataclass(frozen=True, kw_only=True)
class MultiStep(Schedule):
    """Multiplies the rate by `reduction` at each of some places of the training (L27).

        factor(t) = reduction^(number of places that are reached at t)

    Args:
        at: the places in ascending order: shares of the training, or steps, not both.
        reduction: above 0, up to 1.

    Raises:
        UsageError: for a value out of range.

    >>> [round(MultiStep(at=(0.5, 0.75)).factor(step, 8), 4) for step in range(8)]
    [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]

    Source: He et al. 2016, "Deep Residual Learning", who reduce at half and three quarters of a training on CIFAR-10.
    Equals torch's `MultiStepLR` (milestones, gamma), whose milestones are often counted in epochs.
    """

    at: tuple[Length, ...] = (0.5, 0.75)
    reduction: float = 0.1

    def __post_init__(self) -> None:
        self._check("at", are_places(self.at), PLACES)
        self._check_reduction("reduction")

    def check(self, num_steps: int) -> None:
        for place in self.at:
            self._require_fit("at", place, num_steps, left=1)

    def factor(self, step: int, num_steps: int) -> float:
        reached = 0
        for place in self.at:
            reached += max(steps_of(place, num_steps), 1) <= step  # the first step is at the peak
        return self.reduction**reached


PLACES = "a tuple of ascending shares between 0 and 1, or of ascending steps, such as (0.5, 0.75)"


def are_places(at: object) -> bool:
    """Whether these are ascending places inside a training, of one kind."""
    if not isinstance(at, tuple) or not at:
        return False
    lengths = all(is_length(place) and (isinstance(place, int) or place < 1) for place in at)
    return lengths and len(set(map(type, at))) == 1 and all(a < b for a, b in pairwise(at))

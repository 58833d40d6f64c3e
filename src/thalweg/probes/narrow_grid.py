"""A race of few rates, for a network whose steps are dear: the given one, ten times it, and on from the better."""

import math
import time

from thalweg.parts.optimizers import Optimizer
from thalweg.probes.course import Course
from thalweg.probes.rate_grid import Grid

FACTOR = 10.0
FURTHEST = 2  # factors from the given rate


class NarrowGrid(Grid):
    """The given rate against a few others, each in one lane.

    Args:
        course: what the lanes share.
        optimizer: with a rate.
        seconds: that all lanes may take, in this thread.
        steps: of each lane.
    """

    def __init__(self, course: Course, optimizer: Optimizer, seconds: float, steps: int) -> None:
        super().__init__(course, optimizer, seconds, steps=steps)
        assert self.own is not None

    def search(self) -> None:
        """The given rate and ten times it, then on from the better one, away from the other, while there is time."""
        assert self.own is not None
        for rate in (self.own, self.own * FACTOR):
            self.run_long(rate)
        step = FACTOR if self.best() > self.own else 1 / FACTOR
        rate = self.best() * step
        while abs(math.log(rate / self.own)) < FURTHEST * 1.01 * math.log(FACTOR) and self.has_time():
            self.run_long(rate)
            if self.best() != rate:
                break
            rate *= step

    def has_time(self) -> bool:
        """Whether another lane fits."""
        lanes = [lane for lanes in self.long.values() for lane in lanes]
        return time.monotonic() + sum(lane.seconds for lane in lanes) / len(lanes) < self.deadline

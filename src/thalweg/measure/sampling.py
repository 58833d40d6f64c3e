"""Which steps are watched, so that watching stays within its share of the time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil, inf

UNKNOWN = 10  # steps until the next watched one while the time of a plain step is not known


class SampleSchedule:
    """Chooses the steps to watch: 0 and the powers of two, because the beginning decides much, and then every k-th.

    k follows from measured cost: with the extra time e of a watched step, the time t of a plain one and the share s,
    the next step n is watched as soon as all extra time, its own included, is at most s · n · t. The early steps are
    paid back first; afterwards k = e / (s · t).

    Args:
        share: of the plain training time that watching may take, 0 to 1; 0 watches nothing.
        clock: seconds; replaced in tests.

    >>> schedule = SampleSchedule(0.01)
    >>> for step in range(100):
    ...     if schedule.due(step):
    ...         with schedule.watching(step):
    ...             time.sleep(0.001)
    >>> schedule.count  # 0, 1, 2, 4, 8, 16, 32, 64: what comes between is too dear here
    8
    """

    def __init__(self, share: float = 0.01, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.share, self.clock = share, clock
        self.plain = inf  # seconds of a plain step: the least mean over a stretch between two watched ones
        self.watched = 0.0  # seconds of all watched steps together
        self.count = 0
        self._affordable = 0  # the step from which the next watched one is within the share
        self._left: tuple[int, float] | None = None  # the last watched step, and when it ended

    def due(self, step: int) -> bool:
        """Whether the step with this number (steps done before it) is to be watched."""
        if self.share <= 0:
            return False
        return step >= self._affordable or step.bit_count() <= 1

    @contextmanager
    def watching(self, step: int) -> Iterator[None]:
        """Takes the time of a watched step, its synchronization included."""
        started = self.clock()
        if self._left and (steps := step - self._left[0] - 1) > 0:
            self.plain = min(self.plain, (started - self._left[1]) / steps)
        yield
        ended = self.clock()
        self._left = (step, ended)
        self.watched += ended - started
        self.count += 1
        self._affordable = step + UNKNOWN  # until the plain steps between two watched ones were timed
        if self.plain < inf:
            spent = max(0.0, self.watched - self.count * self.plain)
            # A plain step always lies between two watched ones. Otherwise a single one that the machine held up makes
            # watching look free, every step is watched from there on, and no plain one is left to correct that.
            self._affordable = max(step + 2, ceil(spent * (1 + 1 / self.count) / (self.share * self.plain)))

"""How long a training still takes, from the steps it has done."""

import time
from collections.abc import Callable

from thalweg.events import Progress
from thalweg.show.text import duration


class Pace:
    """Counts from the first event on, because a resumed training begins at a late step.

    >>> pace = Pace(clock=iter([10.0, 12.0]).__next__)
    >>> [pace.left(Progress(step, 300, 1, 3)) for step in (100, 150)]
    ['', '6.0 s left']
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start: tuple[int, float] | None = None  # step and time of the first event

    def left(self, event: Progress) -> str:
        """`"12 s left"`, or nothing while it is not known."""
        now = self._clock()
        step, since = self._start = self._start or (event.step, now)
        done, remaining = event.step - step, event.num_steps - event.step
        return f"{duration((now - since) / done * remaining)} left" if done else ""

"""A budget of time that probes share: each takes what it needs, and the next one what is left."""

import time

SHARE, LEAST = 0.2, 5.0  # of the training's time, and seconds at least, for everything that is tried beside it


class Budget:
    """Seconds of this thread's own time, which a busy machine does not shorten.

    Args:
        seconds: what may be spent from now on.

    >>> budget = Budget(10.0)
    >>> budget.left > 9.9, budget.affords(20.0), budget.part(0.5).left > 4.9
    (True, False, True)
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.refused = False  # whether more was asked for than was left; the diagnosis says so
        self._started = time.thread_time()

    @property
    def spent(self) -> float:
        return time.thread_time() - self._started

    @property
    def left(self) -> float:
        return max(self.seconds - self.spent, 0.0)

    def affords(self, seconds: float) -> bool:
        """Whether so much is left."""
        enough = seconds <= self.left
        self.refused |= not enough
        return enough

    def part(self, share: float) -> "Budget":
        """A budget of a share of what is left now; what it does not spend stays in this one."""
        return Budget(share * self.left)


def budget_of(run_seconds: float) -> float:
    """What check and diagnosis together may spend on a training of so many seconds.

    >>> budget_of(3.0), budget_of(600.0)
    (5.0, 120.0)
    """
    return max(SHARE * run_seconds, LEAST)

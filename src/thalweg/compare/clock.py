"""The time that a comparison may take, and what its trainings took."""

import re
import time
from dataclasses import dataclass, field

from thalweg.errors import UsageError
from thalweg.events import EpochEnded, Event, Progress, RunStarted
from thalweg.plan import is_integer
from thalweg.show.text import duration

UNITS = {"s": 1, "sec": 1, "second": 1, "min": 60, "m": 60, "minute": 60, "h": 3600, "hour": 3600}


def seconds_of(budget: float | str | None) -> float | None:
    """A budget in seconds; None is no limit.

    >>> seconds_of("10min"), seconds_of("1.5 h"), seconds_of(90), seconds_of(None)
    (600.0, 5400.0, 90.0, None)
    """
    if budget is None:
        return None
    if isinstance(budget, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*?)s?\s*", budget.lower())
        unit = None if found is None else UNITS.get(found[2] or "s")
        seconds = float(found[1]) * unit if found and unit else 0.0
    else:
        seconds = float(budget) if is_integer(budget) or isinstance(budget, float) else 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"budget got {budget!r}; allowed: seconds above 0, or a text such as '90s', '10min', '2h'.")
    return seconds


@dataclass
class Clock:
    """How much of the budget is left, by the seconds that each arm's latest training took.

    It listens to the trainings, too: one of an arm that was never timed is stopped where it outlasts the budget.
    """

    limit: float | None
    started: float = field(default_factory=time.monotonic)
    seconds: dict[str, list[float]] = field(default_factory=dict)  # of each training, by arm
    running: str = ""  # the arm that is being trained
    began: float = 0.0
    share: float = 0.0  # of its steps that are done
    expired: bool = False

    def begin(self, name: str) -> None:
        self.running, self.began, self.share = name, time.monotonic(), 0.0

    def end(self) -> float:
        """The seconds that the training took."""
        taken = time.monotonic() - self.began
        self.seconds.setdefault(self.running, []).append(taken)
        self.running = ""
        return taken

    def __call__(self, event: Event) -> None:
        """Stops the training under way, as Ctrl-C does, where the budget is used up and nothing like it was timed."""
        if isinstance(event, Progress) and event.num_steps:
            self.share = event.step / event.num_steps
        elif isinstance(event, EpochEnded):
            self.share = event.epoch / event.num_epochs
        elif not isinstance(event, RunStarted):
            return
        if self.left < 0 and self.running not in self.seconds:
            self.expired = True
            raise KeyboardInterrupt

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        return float("inf") if self.limit is None else self.limit - (time.monotonic() - self.started)

    def expected(self, name: str) -> float | None:
        """What a training of an arm takes: as its latest, the one under way, or the dearest other; None if unknown."""
        if name in self.seconds:
            return self.seconds[name][-1]
        if name == self.running and self.share:
            return (time.monotonic() - self.began) / self.share
        return max((taken[-1] for taken in self.seconds.values()), default=None)

    def fits(self, *names: str) -> bool:
        """Whether one training of each of these arms does, as far as is known."""
        known = [self.expected(name) or 0.0 for name in names]
        return sum(known) <= self.left

    def refuse(self, names: list[str], rounds: int, folder: str) -> UsageError:
        """What to say where the budget does not reach for so many trainings of each arm."""
        known = {name: seconds for name in names if (seconds := self.expected(name))}
        dearest = max(known.values(), default=0.0)
        need = rounds * sum(known.get(name, dearest) for name in names)
        told = ", ".join(f"{name} {duration(seconds)}" for name, seconds in known.items())
        about = "None had come to the end of an epoch."
        if told:
            about = f"A training takes about: {told}; {rounds * len(names)} of them {duration(need)}."
        what = "one seed for each arm" if rounds == 1 else "the tuning and one seed for each arm"
        return UsageError(
            f"A budget of {duration(self.limit)} is too short for {what}. {about} Give more time, fewer epochs or "
            f"fewer arms. What was trained is kept in {folder}."
        )

"""What every schedule is: the learning rate as a function of the step (L27)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import TYPE_CHECKING, NamedTuple

from thalweg.errors import UsageError
from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.part import Part

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from thalweg.parts.schedules.torch_scheduler import TorchScheduler

Length = int | float  # an int counts steps, a float is a share of the training


class Measured(NamedTuple):
    """What an epoch's end has shown: updates made until then, and the mean losses."""

    step: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True, kw_only=True)
class Schedule(Part, ABC):
    """The rate as a share of its peak, the optimizer's `lr`. It has no state, so that a budget may be extended.

    Lengths inside a schedule are shares of the training where they are floats, and steps where they are ints: `0.05`
    or `500`. A share fits every training; when a training is extended, what is left of the schedule is stretched with
    it. Steps leave the past of an extended training as it was. k of n epochs are the share k / n.

    >>> from thalweg.parts.schedules import Cosine, Warmup
    >>> schedule = Warmup(warmup=2, then=Cosine())
    >>> [round(schedule.factor(step, 6), 3) for step in range(6)]
    [0.333, 0.667, 1.0, 0.854, 0.5, 0.146]
    """

    @abstractmethod
    def factor(self, step: int, num_steps: int) -> float:
        """What the peak rate is multiplied by.

        Args:
            step: number of updates made before this one, from 0 to `num_steps` − 1.
            num_steps: updates in the whole training, at least 1. Another number than before stretches the rest of
                the schedule: step 500 of 1,000 goes on as step 500 of 2,000.
        """

    def momentum(self, step: int, num_steps: int) -> float | None:
        """The momentum at a step, for schedules that cycle it; None, at every step, leaves the optimizer's own."""
        return None

    def warmup_steps(self, num_steps: int) -> int:
        """How many steps rise before the first one at the peak."""
        return 0

    def check(self, num_steps: int) -> None:
        """Raises `UsageError` where a length in steps does not fit into a training of so many."""
        return

    def informed(self, history: Sequence[Measured], num_steps: int) -> "Schedule":
        """The schedule that follows from what the epochs so far have shown: itself, except for `Plateau`."""
        return self

    def build(self, optimizer: "Optimizer", *, num_steps: int) -> "TorchScheduler":
        """A scheduler of torch for a loop of one's own, whose `step` follows each update.

        Args:
            optimizer: torch's; the rate of each of its groups is the peak.
            num_steps: updates in the whole training, at least 1.

        Raises:
            UsageError: where the schedule does not fit so many steps, or the optimizer has no momentum to cycle.
        """
        from thalweg.parts.schedules.torch_scheduler import TorchScheduler

        self.check(num_steps)
        if self.momentum(0, num_steps) is not None and not {"momentum", "betas"} & set(optimizer.defaults):
            raise UsageError(
                f"{type(optimizer).__name__} has no momentum that {type(self).__name__} could cycle; leave `momenta` "
                "out, or take an optimizer with a momentum or betas."
            )
        return TorchScheduler(optimizer, self, num_steps=num_steps)

    def _check_share(self, name: str, *, below_one: bool = False) -> None:
        value = getattr(self, name)
        allowed = "a share from 0 to below 1" if below_one else "a share from 0 to 1"
        self._check(name, in_range(value, 0, 1) or (not below_one and in_range(value, 1) and value == 1), allowed)

    def _check_reduction(self, name: str) -> None:
        value = getattr(self, name)
        self._check(name, in_range(value, 0) and 0 < value <= 1, "a number above 0, up to 1")

    def _check_length(self, name: str, *, zero: bool = False) -> None:
        """A share of the training, or steps; `zero` admits none of it, and then not all of it."""
        self._check(name, is_length(getattr(self, name), zero=zero), ALLOWED[zero])

    def _check_word(self, name: str, words: Sequence[str]) -> None:
        self._check(name, getattr(self, name) in words, " or ".join(map(repr, words)))

    def _require_fit(self, name: str, length: Length, num_steps: int, *, left: int = 0) -> None:
        """Refuses a length in steps that leaves fewer than `left` steps of the training."""
        if isinstance(length, int) and length + left > num_steps:
            raise UsageError(
                f"{type(self).__name__} got {name}={length:,} steps, but it has only {num_steps:,} steps to act in; "
                f"allowed: at most {max(num_steps - left, 0):,}, or a share of them such as 0.1. More epochs, or "
                "smaller batches, make a training longer."
            )


ALLOWED = {
    False: "a share above 0 and up to 1.0, or an integer of at least 1 for steps",
    True: "a share from 0 to below 1, or an integer of at least 0 for steps",
}


def is_length(value: object, *, zero: bool = False) -> bool:
    """Whether it is a number of steps or a share of the training."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    if isinstance(value, int):
        return value >= (0 if zero else 1)
    return 0 <= value < 1 if zero else 0 < value <= 1


def steps_of(length: Length, num_steps: int) -> int:
    """A length in whole steps.

    >>> steps_of(0.25, 10), steps_of(3, 10)
    (2, 3)
    """
    return length if isinstance(length, int) else round(length * num_steps)


def period_of(length: Length, num_steps: int) -> float:
    """A length that repeats, in steps, at least 1. A share stays unrounded: three thirds end where the training does.

    >>> period_of(0.25, 10), period_of(3, 10), period_of(0.01, 10)
    (2.5, 3, 1.0)
    """
    return length if isinstance(length, int) else max(length * num_steps, 1.0)


def half_cosine(start: float, end: float, progress: float) -> float:
    """From `start` to `end` along half a cosine, level at both; `progress` beyond 1 stays at the end.

    >>> half_cosine(1.0, 0.0, 0.5)
    0.5
    """
    return end + (start - end) * (1 + cos(pi * min(progress, 1.0))) / 2


def are_momenta(value: object) -> bool:
    """Whether it is None or a pair of momenta: at the peak of the rate, and at its lowest."""
    pair = isinstance(value, tuple) and len(value) == 2 and all(in_range(m, 0, 1) for m in value)
    return value is None or pair


MOMENTA = "None or two numbers from 0 to below 1, (at the peak, at the lowest rate), such as (0.85, 0.95)"

"""What a fault cost a training by the twin that had the remedy, as the rules read it."""

from dataclasses import dataclass
from math import inf
from statistics import NormalDist

from thalweg.findings import Evidence, Excluded, Remedied
from thalweg.readings import Reading, Readings
from thalweg.rules.trial import number

SHARE = 0.8  # of what the twin reaches beyond a constant answer: a training that reaches less is called harmed
WORKS = 0.5  # of what there is beyond a constant answer: below it a twin that fails too may have another fault as well
BOUND = "bound"  # note of a score that no twin reached: the most there is
CHANCE = 0.0228  # beyond two standard errors to one side, by a normal distribution
WHOLE = 0.99  # of the training's steps: a twin that had fewer cannot show that there is no harm


@dataclass(frozen=True)
class Harm:
    """Scores on validation rows: of the training, of its twin, of the best constant answer.

    Args:
        control: of the training as it is in another order of rows, where one was trained.
        steps: of the twin, as a share of the training's.
        tries: how many scores of twins were looked at, of which this one is the best: one of many is high by chance.
    """

    plain: Reading
    changed: Reading
    constant: float
    difference: Reading
    control: float | None
    steps: float
    tries: int = 1

    @property
    def room(self) -> float:
        """What the twin reaches beyond a constant answer."""
        return self.changed.value - self.constant

    @property
    def half(self) -> float:
        """Two standard errors of the difference."""
        return inf if self.difference.low is None else self.difference.value - self.difference.low

    @property
    def own_half(self) -> float:
        """Two standard errors of what the twin reaches beyond a constant answer."""
        return self.half if self.changed.low is None else self.changed.value - self.changed.low

    @property
    def beyond(self) -> bool:
        """Whether the twin is above the training and above a constant answer, beyond what the best of many has."""
        errors = errors_of(self.tries) / 2
        return self.difference.value > errors * self.half and self.room > errors * self.own_half

    @property
    def harmed(self) -> bool:
        """Below 0.8 of what the remedy reaches, beyond two standard errors of the rows, and not by the order alone."""
        if not self.beyond:
            return False
        reached = self.plain.value if self.control is None else max(self.plain.value, self.control)
        return reached - self.constant < SHARE * self.room

    @property
    def harmless(self) -> bool:
        """Whether the training works, and the whole of it again with the remedy is not better by as much."""
        works = self.plain.value - self.constant >= WORKS * (1 - self.constant)
        return works and self.steps >= WHOLE and not self.harmed

    def evidence(self, remedy: str) -> tuple[Evidence, ...]:
        """Lines of evidence: the training, its twin, their difference."""
        low, high = self.difference.low or 0.0, self.difference.high or 0.0
        limit = f"{SHARE:g} of what the remedy reaches beyond {number(self.constant)}"
        if self.changed.note == BOUND:
            limit = f"{SHARE:g} of all there is beyond {number(self.constant)}"
            return (Evidence(f"{self.plain.note} on validation rows", number(self.plain.value), limit),)
        best = f", the best of {self.tries} scores" if self.tries > 1 else ""
        errors = "two" if self.tries == 1 else f"{errors_of(self.tries):.1f}"
        return (
            Evidence(f"{self.plain.note} on validation rows", number(self.plain.value), limit),
            Evidence(f"the same with {remedy}", number(self.changed.value)),
            Evidence(
                f"difference on {self.difference.count} rows",
                f"{number(self.difference.value)} ({number(low)} to {number(high)})",
                f"above 0 by {errors} standard errors{best}",
            ),
        )

    @property
    def remedied(self) -> Remedied:
        """What the training reaches with the remedy."""
        return Remedied(self.changed.value, self.constant, self.half, self.plain.note)

    @property
    def excluded(self) -> tuple[Excluded, ...]:
        """Chance, by the control."""
        if self.control is None:
            return (Excluded("chance", "two standard errors of the validation rows"),)
        return (Excluded("chance", f"the training as it is, in another order of rows, reaches {number(self.control)}"),)


def errors_of(tries: int) -> float:
    """Standard errors beyond which the best of so many is above chance, as one is beyond two (Bonferroni).

    >>> round(errors_of(1), 2), round(errors_of(10), 2)
    (2.0, 2.84)
    """
    return NormalDist().inv_cdf(1 - CHANCE / tries)


def harm(readings: Readings, name: str) -> Harm | None:
    """The twin with a remedy, where one was trained."""
    plain, changed, difference = (readings.last(f"twin.{name}.{part}") for part in ("plain", "changed", "difference"))
    constant, steps = readings.value(f"twin.{name}.constant"), readings.value(f"twin.{name}.steps")
    if plain is None or changed is None or difference is None or constant is None or steps is None:
        return None
    control, tries = readings.value(f"twin.{name}.control"), readings.value(f"twin.{name}.tries")
    return Harm(plain, changed, constant, difference, control, steps, 1 if tries is None else int(tries))


def by_heart(readings: Readings, found: Harm) -> bool:
    """Whether training rows are answered as well as the twin answers validation rows: it is not learning that fails."""
    train = readings.last("outcome.train_score")
    return train is not None and train.note == found.plain.note and train.value >= found.changed.value


def works(readings: Readings) -> bool:
    """Whether the trained network reaches so much of what there is that no remedy could show harm."""
    constant = readings.value("outcome.constant")
    found = [readings.value(f"outcome.{name}") for name in ("score", "kept_score")]
    best = max((value for value in found if value is not None), default=None)
    return best is not None and constant is not None and best - constant >= SHARE * (1 - constant)

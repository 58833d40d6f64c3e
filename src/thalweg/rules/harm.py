"""What a fault cost a training by the twin that had the remedy, as the rules read it."""

from dataclasses import dataclass

from thalweg.findings import Evidence, Excluded
from thalweg.readings import Reading, Readings
from thalweg.rules.trial import number

SHARE = 0.8  # of what the twin reaches beyond a constant answer: a training that reaches less is called harmed
WORKS = 0.5  # of what there is beyond a constant answer: below it a twin that fails too may have another fault as well
BOUND = "bound"  # note of a score that no twin reached: the most there is
WHOLE = 0.99  # of the training's steps: a twin that had fewer cannot show that there is no harm


@dataclass(frozen=True)
class Harm:
    """Scores on validation rows: of the training, of its twin, of the best constant answer.

    Args:
        control: of the training as it is in another order of rows, where one was trained.
        steps: of the twin, as a share of the training's.
    """

    plain: Reading
    changed: Reading
    constant: float
    difference: Reading
    control: float | None
    steps: float

    @property
    def room(self) -> float:
        """What the twin reaches beyond a constant answer."""
        return self.changed.value - self.constant

    @property
    def harmed(self) -> bool:
        """Below 0.8 of what the remedy reaches, beyond two standard errors of the rows, and not by the order alone."""
        if self.difference.low is None or self.difference.low <= 0 or self.room <= 0:
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
        return (
            Evidence(f"{self.plain.note} on validation rows", number(self.plain.value), limit),
            Evidence(f"the same with {remedy}", number(self.changed.value)),
            Evidence(
                f"difference on {self.difference.count} rows",
                f"{number(self.difference.value)} ({number(low)} to {number(high)})",
                "above 0 by two standard errors",
            ),
        )

    @property
    def excluded(self) -> tuple[Excluded, ...]:
        """Chance, by the control."""
        if self.control is None:
            return (Excluded("chance", "two standard errors of the validation rows"),)
        return (Excluded("chance", f"the training as it is, in another order of rows, reaches {number(self.control)}"),)


def harm(readings: Readings, name: str) -> Harm | None:
    """The twin with a remedy, where one was trained."""
    plain, changed, difference = (readings.last(f"twin.{name}.{part}") for part in ("plain", "changed", "difference"))
    constant, steps = readings.value(f"twin.{name}.constant"), readings.value(f"twin.{name}.steps")
    if plain is None or changed is None or difference is None or constant is None or steps is None:
        return None
    return Harm(plain, changed, constant, difference, readings.value(f"twin.{name}.control"), steps)


def works(readings: Readings) -> bool:
    """Whether the trained network reaches so much of what there is that no remedy could show harm."""
    constant = readings.value("outcome.constant")
    found = [readings.value(f"outcome.{name}") for name in ("score", "kept_score")]
    best = max((value for value in found if value is not None), default=None)
    return best is not None and constant is not None and best - constant >= SHARE * (1 - constant)

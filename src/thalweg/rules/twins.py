"""What the twins of a training that is over showed of a remedy, as the rules read it."""

from dataclasses import dataclass

from thalweg.findings import Evidence, Excluded, Severity, Standing
from thalweg.readings import Readings
from thalweg.rules.harm import SHARE, Harm, by_heart, harm
from thalweg.rules.trial import number

SURE = 2.0  # times the two standard errors by which the remedied score is lowered where it was not repeated
LEAST_STEPS = 0.5  # of the training's: a twin of fewer says nothing against a remedy
FEW = 0.5  # of the training's steps
ROOM = 0.8  # of all there is beyond a constant answer: a training that reaches it is not called harmed


@dataclass(frozen=True)
class Twin:
    """A twin with a remedy, of those that the tournament tried.

    Args:
        name: of the remedy.
        harm: its score beside the training's.
        setting: the number that it sets.
        again: its score in another order of rows, where it was repeated.
        best: the remedy that did most.
    """

    name: str
    harm: Harm
    setting: float
    again: float | None
    best: str

    @property
    def leads(self) -> bool:
        return self.best == self.name

    @property
    def verified(self) -> bool:
        """Harm that another order of rows repeats, or that four standard errors leave no doubt of."""
        found = self.harm
        if not found.harmed:
            return False
        reached = found.plain.value if found.control is None else max(found.plain.value, found.control)
        if self.again is None:
            return reached - found.constant < SHARE * (found.room - SURE * found.half)
        room = self.again - found.constant
        # Nothing was chosen by the repetition: two standard errors are enough.
        repeats = room > found.own_half and self.again - reached > found.half
        return repeats and reached - found.constant < SHARE * room

    @property
    def standing(self) -> Standing:
        return "verified" if self.verified else "suspicion"

    @property
    def severity(self) -> Severity:
        """A warning; a note where another remedy does more, so that this one is not the cause."""
        return "warning" if self.leads else "note"

    def evidence(self, remedy: str) -> tuple[Evidence, ...]:
        """The training's score, its twin's, their difference, and what a repetition gave."""
        lines = self.harm.evidence(remedy)
        if self.harm.steps != 1:
            lines += (Evidence("steps of the twin, as a share of the training's", number(self.harm.steps)),)
        if self.again is not None:
            lines += (Evidence(f"{remedy} in another order of rows", number(self.again)),)
        return lines

    @property
    def excluded(self) -> tuple[Excluded, ...]:
        data = Excluded("data, loss or network", f"the same training with one thing changed reaches {self.reached}")
        return (data, *self.harm.excluded)

    @property
    def reached(self) -> str:
        return number(self.harm.changed.value)


def twin(readings: Readings, name: str) -> Twin | None:
    """The twin with a remedy, where one was trained."""
    found, setting, best = harm(readings, name), readings.value(f"twin.{name}.setting"), readings.last("twin.best")
    if found is None or setting is None or best is None:
        return None
    return Twin(name, found, setting, readings.value(f"twin.{name}.again"), best.note)


def not_better(readings: Readings, name: str) -> bool:
    """Whether a twin that was long enough to tell shows that the remedy does not mend the training."""
    found = twin(readings, name)
    return found is not None and found.harm.steps >= LEAST_STEPS and not found.harm.harmed


def shown(readings: Readings, name: str) -> Twin | None:
    """The twin, where it shows harm and is worth a finding: beyond doubt, or the best of all.

    Not where the training rows were learned: rates, decay, dropout and length keep a network from learning these.
    """
    found = twin(readings, name)
    if found is None or not found.harm.harmed or by_heart(readings, found.harm):
        return None
    return found if found.verified or found.leads else None


def faster(readings: Readings, name: str) -> Twin | None:
    """The best twin, where half of the steps took it above the whole training, which plain learners beat by far.

    What the rows allow is then known from the plain learners, on the same validation rows, and which way it lies from
    the twin, which had no time to get there.
    """
    found, gain = twin(readings, name), readings.last("reference.gain")
    score, constant = readings.value("reference.score"), readings.value("reference.constant")
    if found is None or not found.leads or gain is None or score is None or constant is None:
        return None
    reached = found.harm.plain.value - found.harm.constant
    above = found.harm.beyond and found.harm.steps <= FEW
    behind = gain.low is not None and gain.low > 0 and reached < SHARE * (score - constant)
    return found if above and behind else None


def cannot_be_harmed(readings: Readings) -> bool:
    """Whether the training reaches 0.8 of all that accuracy and R2 can reach beyond a constant answer."""
    reached, constant = readings.value("twin.plain"), readings.value("twin.constant")
    return reached is not None and constant is not None and reached - constant >= ROOM * (1 - constant)

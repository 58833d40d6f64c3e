"""What a training has reached, as the rules about rates and generalization read it."""

from math import isfinite

from thalweg.findings import Evidence
from thalweg.readings import Reading, Readings
from thalweg.rules.trial import number

SUMMED = 0.5  # above 1, of the loss of rows taken twice: 1 for a mean over the rows, 2 for a sum
LEAST = 0.02  # of the learnable loss: the constant answer was found on other rows, whose labels are mixed otherwise


def constant_loss(readings: Readings) -> float | None:
    """The loss of the best constant answer, on rows held out by the race or else on the rows of the check.

    None for a loss that adds its rows up: it was taken over other numbers of rows than what it would be compared with.
    """
    value = readings.value("race.constant")
    return None if summed(readings) else readings.value("loss.constant") if value is None else value


def summed(readings: Readings) -> bool:
    """Whether the loss adds its rows up, so that it says nothing beside the loss of another number of rows."""
    factor = readings.value("loss.batch_factor")
    return factor is not None and factor > 1 + SUMMED


def removed(readings: Readings, loss: float) -> float | None:
    """The share of what a constant answer leaves above the lowest possible loss that is gone; None where unknown."""
    constant = constant_loss(readings)
    floor = readings.value("loss.floor")
    floor = 0.0 if floor is None else floor
    return None if constant is None or not constant > floor else (constant - loss) / (constant - floor)


def learned(readings: Readings) -> bool | None:
    """Whether the kept weights answer validation rows better than any constant; None before, and where unclear."""
    reached = readings.last("fit.validation_loss")
    share = None if reached is None else removed(readings, reached.value)
    surely = None if reached is None else removed(readings, top(reached))
    if share is None or surely is None:
        return None
    return True if surely > LEAST else None if share > LEAST else False


def bottom(reading: Reading) -> float:
    """The lower end of the interval, or the value where there is none."""
    return reading.value if reading.low is None else reading.low


def top(reading: Reading) -> float:
    """The upper end of the interval, or the value where there is none."""
    return reading.value if reading.high is None else reading.high


def lost(readings: Readings) -> bool:
    """Whether the training ended because numbers were no longer finite."""
    return "nonfinite.first" in readings or "nonfinite.step" in readings


def rise_step(readings: Readings, factor: float) -> int | None:
    """The step from which the training loss stayed above `factor` times its start; None where it ended below."""
    losses = readings.of("train.batch_loss")
    if len(losses) < 2:
        return None
    limit = losses[0].value + (factor - 1) * abs(losses[0].value)
    found = None
    for reading in reversed(losses[1:]):
        if reading.value <= limit:
            break
        found = reading.step
    return found


def with_interval(reading: Reading) -> str:
    """`"0.31 (0.28 to 0.34)"`."""
    if reading.low is None or reading.high is None or not isfinite(reading.value):
        return "diverged" if reading.note == "diverged" else number(reading.value)
    return f"{number(reading.value)} ({number(reading.low)} to {number(reading.high)})"


def evidence(what: str, reading: Reading | None, limit: str = "") -> tuple[Evidence, ...]:
    """A line of evidence, where the reading is there."""
    return () if reading is None else (Evidence(what, with_interval(reading), limit),)

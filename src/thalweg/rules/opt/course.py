"""The end of the loss's curve, as the rules about optimization read it."""

from itertools import pairwise
from math import isfinite, sqrt
from statistics import fmean, stdev

from thalweg.readings import Reading, Readings
from thalweg.rules.outcome import constant_loss

PART = 3  # the last third is looked at
FEWEST = 4  # values in it: two halves of two
LITTLE = 0.01  # of what can be learned: a fall of less over a third of the training is none
RISES = 0.25  # of the changes from one epoch to the next: a loss that falls has none, one that stands still half


def last_third(readings: Readings) -> list[Reading]:
    """The training loss of the last third of the epochs; where these are few, of the batches."""
    for name in ("train.loss", "train.batch_loss"):
        known = [r for r in readings.of(name) if isfinite(r.value)]
        if len(known) // PART >= FEWEST:
            return known[-(len(known) // PART) :]
    return []


def learnable(readings: Readings) -> float | None:
    """What a constant answer leaves above the lowest loss; where it is not known, what the training has learned."""
    constant, floor = constant_loss(readings), readings.value("loss.floor") or 0.0
    if constant is not None and constant > floor:
        return constant - floor
    values = [r.value for r in readings.of("train.batch_loss") if isfinite(r.value)]
    return max(values) - min(values) if values else None


def stands(readings: Readings) -> bool | None:
    """Whether the training loss no longer falls: over its last third by no more than noise, or than a hundredth of what
    can be learned. None where it is too short to tell.
    """
    values, room = [r.value for r in last_third(readings)], learnable(readings)
    if not values or room is None:
        return None
    half = len(values) // 2
    before, after = values[:half], values[half:]
    fall = fmean(before) - fmean(after)
    error = sqrt(stdev(before) ** 2 / len(before) + stdev(after) ** 2 / len(after))
    return fall <= max(2 * error, LITTLE * room)


def bounces(readings: Readings) -> bool:
    """Whether the training loss goes up and down from one epoch to the next at the end.

    >>> from thalweg.readings import Reading
    >>> falling = Readings([Reading("train.loss", 1 / k, step=k) for k in range(1, 20)])
    >>> bounces(falling), bounces(Readings([Reading("train.loss", k % 2, step=k) for k in range(20)]))
    (False, True)
    """
    values = [r.value for r in last_third(readings)]
    changes = [after - before for before, after in pairwise(values)]
    return bool(changes) and sum(change > 0 for change in changes) >= RISES * len(changes)

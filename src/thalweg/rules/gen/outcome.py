"""What a training has reached beside plain learners on the same rows, as the rules about generalization read it."""

from statistics import mean

from thalweg.readings import Reading, Readings
from thalweg.rules.outcome import bottom, removed, top

POOR = 0.65  # of what plain learners reach beyond a constant answer; healthy: 0.85 and more (benchmarks/calibration.py)
SHARE = 0.8  # of it: a training that reaches less may have a fault
LASTING = 3  # epochs after the best: one or two may be unlucky
STILL = 0.01  # of what was learned: a change of less over a fifth of the epochs is none
FEWEST = 5  # epochs that show a course


def share_of(readings: Readings, own: str, own_constant: str, plain: str, plain_constant: str) -> float | None:
    """What the network reaches beyond a constant answer, as a share of what plain learners reach."""
    reached, bar = readings.value(own), readings.value(own_constant)
    other, other_bar = readings.value(plain), readings.value(plain_constant)
    if reached is None or bar is None or other is None or other_bar is None or not other > other_bar:
        return None
    return (reached - bar) / (other - other_bar)


def validation_share(readings: Readings) -> float | None:
    """On validation rows."""
    return share_of(readings, "outcome.score", "outcome.constant", "reference.score", "reference.constant")


def balanced_share(readings: Readings) -> float | None:
    """On validation rows, with every class counted alike."""
    bar = "outcome.balanced_constant"
    return share_of(readings, "outcome.balanced", bar, "reference.balanced", bar)


def training_share(readings: Readings) -> float | None:
    """On training rows, which plain learners answer each without having seen it."""
    return share_of(
        readings, "outcome.train_score", "outcome.train_constant", "reference.left_out", "outcome.train_constant"
    )


def surely_worse(readings: Readings) -> bool:
    """Whether plain learners answer validation rows better beyond chance, paired where the same rows were answered."""
    gain = readings.last("reference.gain")
    if gain is not None:
        return bottom(gain) > 0
    own, plain = readings.last("outcome.score"), readings.last("reference.score")
    return own is not None and plain is not None and top(own) < bottom(plain)


def fits_little(readings: Readings, limit: float = SHARE) -> bool:
    """Whether plain learners are far better on validation rows and on training rows alike."""
    held, own = validation_share(readings), training_share(readings)
    # A loss that weighs classes gives up right answers for rare ones on purpose: both measures have to agree.
    alike = balanced_share(readings)
    if alike is not None and alike >= limit:
        return False
    return held is not None and own is not None and max(held, own) < limit and surely_worse(readings)


def gap(readings: Readings) -> bool:
    """Whether training rows are answered better than validation rows beyond chance."""
    own, held = readings.last("outcome.train_score"), readings.last("outcome.score")
    return own is not None and held is not None and bottom(own) > top(held)


def risen(readings: Readings) -> Reading | None:
    """The epoch of the lowest validation loss, where it lies at least three epochs before the last."""
    losses = readings.of("validation.loss")
    if not losses:
        return None
    best = min(losses, key=lambda r: r.value)
    late = len(losses) - 1 - losses.index(best)
    return best if late >= LASTING and losses[-1].value > best.value else None


def as_good_as_reference(readings: Readings) -> bool | None:
    """Whether plain learners are not surely better than the network; None where it was not measured."""
    if "outcome.score" not in readings or "reference.score" not in readings:
        return None
    return not surely_worse(readings)


def flat(readings: Readings) -> bool | None:
    """Whether the validation loss fell by less than a hundredth of what was learned in the last fifth of the epochs."""
    losses = [r.value for r in readings.of("validation.loss")]
    if len(losses) < FEWEST:
        return None
    fifth = max(len(losses) // 5, 1)
    before, after = mean(losses[-2 * fifth : -fifth]), mean(losses[-fifth:])
    first, last = removed(readings, before), removed(readings, after)
    return None if first is None or last is None else last - first < STILL

"""# OPT06: stuck

## What it does
Looks for a training whose loss no longer falls though it is far above what can be learned from its rows, and tells what
holds it by its surroundings: a plateau, where hardly anything is left of the gradient; a saddle, where the weights need
only be moved along a direction that the gradient does not see; ill conditioning, where the largest curvature forbids
the steps that the others need; or none of these, which is said as well.

## Why it is bad
More steps of the same kind bring nothing.

## Evidence used
- `train.loss`: its last third has not fallen by more than its noise, or than a hundredth of what can be learned.
- What can be learned: plain learners are surely better on validation rows and far better on training rows; where none
  could be fitted, a short race of rates reached a held-out loss clearly below the training loss at the end.
- `landscape.gradient`, the gradient of fixed rows by its size at the start, and `landscape.decrease`, what the best
  step along it would take from the loss.
- `landscape.low` and `landscape.kick`: the lowest curvature, and how far the loss of held-out rows falls when the
  weights are moved along its direction.
- `landscape.high`, `landscape.along` and `curvature.limit`: the largest curvature, that along the gradient, and the one
  that the steps bear.
- `twin.higher_rate`, `.lower_rate`, `.adam`, `.momentum`, `.epsilon`, `.no_decay`: where one of them shows harm it is
  the cause, and this is a note beside it.

## Known limits
It is a suspicion. Where batches are mostly noise OPT07 judges instead, and REG02 where decay balances the loss.
Negative curvature by itself is no saddle: healthy networks have it everywhere. Curvature is read in evaluation mode, on
up to 512 rows. Noise that no network explains leaves the plain learners no better, and nothing is said; neither of a
network that answers its training rows.

## Remedies
- By what holds it: another start, normalization, standardized inputs, Adam, a higher rate (changes training).

## References
Dauphin et al. 2014, "Identifying and attacking the saddle point problem in high-dimensional non-convex optimization";
lecture row L36.
"""

from typing import NamedTuple

from thalweg.findings import Cause, Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.gen.outcome import fits_little
from thalweg.rules.opt import opt07_noise_dominated
from thalweg.rules.opt.course import last_third, learnable, stands
from thalweg.rules.outcome import bottom, constant_loss, evidence, lost, summed, top
from thalweg.rules.trial import number
from thalweg.rules.twins import shown

CODE = "OPT06"
NAME = "stuck"
STAGE = "training"
NEEDS = ("train.batch_loss",)

CLEAR = 0.1  # of what can be learned, by which a race must be below the training
GONE = 0.01  # of the gradient's size at the start
NOTHING = 0.02  # of the learnable loss: a best step that takes less leads nowhere
WORTH = 0.02  # of the learnable loss: what a move along the lowest curvature must take from it
NEAR = 0.5  # of the limit: the rate cannot be doubled
SHARP, FLAT = 0.5, 0.01  # of the largest curvature: the gradient leads across the valley, or along its floor
BALANCED = 0.5  # of what the loss asks for is taken back by decay
TWINS: dict[str, Cause] = {
    "lower_rate": "lr_too_high",
    "higher_rate": "lr_too_low",
    "adam": "optimizer_unsuitable",
    "momentum": "optimizer_unsuitable",
    "epsilon": "optimizer_unsuitable",
    "no_decay": "underfitting",
}


class Kind(NamedTuple):
    """What holds a training, the cause that it speaks for, why, and what to do."""

    name: str
    cause: Cause
    why: str
    remedy: str


PLATEAU = Kind(
    "a plateau",
    "underfitting",
    "Hardly anything is left of the gradient, and the best step along it would bring nothing.",
    "Look for units that are dead or saturated; normalize the layers, or train from another start.",
)
SADDLE = Kind(
    "a saddle",
    "optimizer_unsuitable",
    "The loss falls to the side, along a direction that the gradient hardly sees.",
    "Train from another start, with momentum, or at a higher rate.",
)
CONDITION = Kind(
    "ill conditioning",
    "optimizer_unsuitable",
    "The largest curvature forbids longer steps, and along the others steps as short as these bring nothing.",
    "Standardize the inputs, normalize the layers, or train with Adam.",
)
UNKNOWN = Kind(
    "undetermined",
    "underfitting",
    "Its surroundings are neither a plateau nor a saddle, and the curvature leaves the steps their length.",
    "Try another rate, another optimizer and another start.",
)


def stuck(readings: Readings) -> bool:
    """Whether the training loss no longer falls, far above what can be learned.

    Not where the noise of batches keeps it there, or decay takes back what the loss asks for.
    """
    if opt07_noise_dominated.asked(readings) or (readings.value("decay.balance") or 0.0) >= BALANCED:
        return False
    return not lost(readings) and stands(readings) is True and (fits_little(readings) or behind_race(readings))


def behind_race(readings: Readings) -> bool:
    """Whether a short race reached a clearly lower loss on held-out rows, where no plain learner could be fitted."""
    reached, room = readings.last("fit.train_loss"), learnable(readings)
    raced = [r for r in readings.of("race.loss") if r.high is not None]
    if "reference.score" in readings or reached is None or room is None or not raced or summed(readings):
        return False
    best = min(raced, key=lambda r: r.value)
    constant = constant_loss(readings)
    learns = constant is not None and top(best) < constant
    return learns and bottom(reached) > top(best) and reached.value - best.value >= CLEAR * room


def judge(readings: Readings) -> list[Finding]:
    if not stuck(readings):
        return []
    kind, room = kind_of(readings), learnable(readings) or 0.0
    cause = next((c for name, c in TWINS.items() if (t := shown(readings, name)) is not None and t.verified), None)
    if cause is not None and kind is UNKNOWN:  # the rule of the remedy has told it all
        return []
    return [
        Finding(
            code=CODE,
            title=f"The training loss no longer falls, far above what can be learned: {kind.name}",
            severity="warning" if cause is None else "note",
            standing="suspicion" if cause is None else "verified",
            cause=cause or kind.cause,
            why=kind.why,
            step=last_third(readings)[0].step,
            evidence=(
                Evidence("training loss over the last third", spread(readings), f"it can fall by {number(room)}"),
                *evidence("score on validation rows", readings.last("outcome.score")),
                *evidence("the same by plain learners", readings.last("reference.score")),
                *surroundings(readings),
            ),
            excluded=() if "reference.score" not in readings
            else (Excluded("irreducible noise", "plain learners answer the same validation rows better"),),
            remedies=(Remedy(kind.remedy, "changes training"),),
        )
    ]  # fmt: skip


def kind_of(readings: Readings) -> Kind:
    """What holds the training."""
    room = learnable(readings)
    size, decrease, kick = (readings.last(f"landscape.{name}") for name in ("gradient", "decrease", "kick"))
    if room is None or size is None or decrease is None:
        return UNKNOWN
    if kick is not None and bottom(kick) > 0 and kick.value >= WORTH * room:
        return SADDLE
    if size.value < GONE and decrease.value < NOTHING * room:
        return PLATEAU
    return CONDITION if ill_conditioned(readings) else UNKNOWN


def ill_conditioned(readings: Readings) -> bool:
    """Whether the rate is at the limit of the largest curvature, and the gradient across the valley or along it."""
    sharp, along, limit = (readings.value(f"curvature.{name}") for name in ("sharpness", "along", "limit"))
    if sharp is None or along is None or limit is None or not sharp > 0:
        return False
    return sharp >= NEAR * limit and (along >= SHARP * sharp or abs(along) <= FLAT * sharp)


def spread(readings: Readings) -> str:
    end = last_third(readings)
    return f"{number(end[0].value)} to {number(end[-1].value)}"


def surroundings(readings: Readings) -> tuple[Evidence, ...]:
    """Lines of evidence about gradient and curvature."""
    room = learnable(readings) or 0.0
    return (
        *evidence("gradient by its size at the start", readings.last("landscape.gradient"), number(GONE)),
        *evidence("fall by the best step along it", readings.last("landscape.decrease"), number(NOTHING * room)),
        *evidence("lowest curvature", readings.last("landscape.low")),
        *evidence("fall of held-out loss along it", readings.last("landscape.kick"), number(WORTH * room)),
        *evidence("largest curvature", readings.last("landscape.high")),
    )

"""# LR02: learning rate too low

## What it does
Compares the plan's rate with the rates of a race (see LR01). Before the training it reports a rate below the interval
of good ones when all steps of the plan together go no further than ten steps at the best rate. After the training it
reports the rate when a twin of the training, the same but for a higher rate, reaches so much more that the training
stays below 0.8 of it.

## Why it is bad
The loss falls so slowly that the training is over before it has learned what it could.

## Evidence used
- `race.loss` and `race.excess` at the plan's rate and at the best, paired over blocks of the rows held out.
- `plan.steps`, the length of the training: a rate a hundred times lower goes about as far in a hundred times the
  steps.
- `twin.higher_rate`: the training again at a higher rate, its score on the validation rows beside the training's,
  paired over the rows, repeated in another order of rows where there was time. It may need fewer steps.
  A twin that half of the steps take above the whole training counts too where the race agrees and plain learners
  (`reference.score`) reach so much more that the training stays below 0.8 of it.
- Where outputs cannot be scored `fit.train_loss`, the loss of the trained network, against the best of the race; not
  of a loss that adds its rows up (`loss.batch_factor`), which depends on their number.

## Known limits
A low rate that reaches its goal in the steps it is given is not reported; most tuned trainings have one below the best
of a short race. Nor is a rate that the race itself chose. That steps and rate exchange one for one is an estimate,
which is why it is used before the training only, and only at a factor that leaves no doubt. A training that is over and
whose twin was not trained, for want of time, gets a suspicion; one whose twin is not better, or that has learned at
least half of what the race shows to be learnable, a note. Where another remedy mends more than the rate, the rate is a
note too; more steps at the same rate are OPT01's matter.

## Remedies
- The rate of the race or of the twin, or `lr="auto"` (changes training).

## References
Lecture row L36: the loss falls slowly where the rate is too low.
"""

from thalweg.findings import Evidence, Finding
from thalweg.readings import Reading, Readings
from thalweg.rules.lr.race import Raced, at_rate, raced, severity_of, short, standing_of
from thalweg.rules.outcome import bottom, evidence, lost, summed
from thalweg.rules.trial import number
from thalweg.rules.twins import Twin, faster, shown

CODE = "LR02"
NAME = "learning rate too low"
STAGE = "training"
NEEDS = ("plan.rate",)

TWIN = "higher_rate"
FEW_STEPS = 10  # at the best rate: no network learns a task in that many
WHY = "The steps are so short that the training ends before it gets anywhere."


def judge(readings: Readings) -> list[Finding]:
    if lost(readings):
        return []
    found, tried = raced(readings), shown(readings, TWIN)
    if tried is None and found is not None and found.too_low:
        tried = faster(readings, TWIN)
    if tried is not None:
        return [by_twin(tried, found, readings)]
    if found is None or not found.too_low:
        return []
    reached = readings.last("fit.train_loss")
    if reached is not None and summed(readings):  # over other numbers of rows than the race's
        return []
    steps = readings.value("plan.steps") if reached is None else reached.step
    worth = None if steps is None else steps * found.plan / found.rate.value
    short_way = worth is not None and worth < FEW_STEPS
    behind = reached is not None and bottom(reached) > (found.best.high or found.best.value)
    harmed = short_way if reached is None else behind and (short_way or (steps or 0) >= found.steps)
    return [by_race(found, reached, readings, worth)] if harmed else []


def by_race(found: Raced, reached: Reading | None, readings: Readings, worth: float | None) -> Finding:
    """The rate is below the good ones of the race, and the training is too short for it or ended above the race."""
    way = () if worth is None else (Evidence("the whole training, in steps at the best rate", number(worth)),)
    return Finding(
        code=CODE,
        title=f"The learning rate {number(found.plan)} is too low; {short(found.rate.value)} is best",
        severity=severity_of(found, reached, readings, TWIN),
        standing=standing_of(reached, readings),
        cause="lr_too_low",
        why=WHY,
        evidence=(
            *found.evidence(),
            *way,
            *evidence("training loss at the end", reached, "below the best of the race"),
        ),
        excluded=(found.excluded,),
        remedies=(found.remedy,),
    )


def by_twin(tried: Twin, found: Raced | None, readings: Readings) -> Finding:
    """A twin at a higher rate reaches more."""
    plan = readings.value("plan.rate")
    assert plan is not None
    agrees = found is not None and found.too_low
    return Finding(
        code=CODE,
        title=f"The learning rate {number(plan)} is too low: at {short(tried.setting)} the training reaches "
        f"{tried.reached} instead of {number(tried.harm.plain.value)}",
        severity=tried.severity,
        standing="verified" if agrees else tried.standing,
        cause="lr_too_low",
        why=WHY,
        evidence=(
            *tried.evidence(f"rate {short(tried.setting)}"),
            *(found.evidence() if found is not None else ()),
        ),
        excluded=tried.excluded,
        remedies=(at_rate(tried.setting),),
        remedied=tried.harm.remedied,
    )

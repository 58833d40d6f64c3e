"""# LR02: learning rate too low

## What it does
Compares the plan's rate with the rates of a race (see LR01) and reports a rate below the interval of good ones when it
does harm: before the training, when all its steps together go no further than ten steps at the best rate; after it,
when the whole training ended above the loss that the best rate had reached in the race's few steps.

## Why it is bad
The loss falls so slowly that the training is over before it has learned what it could.

## Evidence used
- `race.loss` and `race.excess` at the plan's rate and at the best, paired over blocks of the rows held out.
- `plan.steps`, the length of the training: a rate a hundred times lower goes about as far in a hundred times the steps.
- `fit.train_loss`, the loss of the trained network in evaluation mode, against the best of the race.

## Known limits
A low rate that reaches its goal in the steps it is given is not reported; most tuned trainings have one below the best
of a short race. Nor is a rate that the race itself chose. That steps and rate exchange one for one is an estimate,
which is why it is used before the training only, and only at a factor that leaves no doubt. A
training that has learned at least half of what the race shows to be learnable gets a note, not a warning.

## Remedies
- The rate of the race, or `lr="auto"` (changes training).

## References
Lecture row L36: the loss falls slowly where the rate is too low.
"""

from thalweg.findings import Evidence, Finding
from thalweg.readings import Readings
from thalweg.rules.lr.race import raced, severity_of, short
from thalweg.rules.outcome import bottom, evidence, lost
from thalweg.rules.trial import number

CODE = "LR02"
NAME = "learning rate too low"
STAGE = "training"
NEEDS = ("plan.rate", "race.rate")

FEW_STEPS = 10  # at the best rate: no network learns a task in that many


def judge(readings: Readings) -> list[Finding]:
    found = raced(readings)
    if found is None or not found.too_low or lost(readings):
        return []
    rate, reached = found.rate.value, readings.last("fit.train_loss")
    steps = readings.value("plan.steps") if reached is None else reached.step
    worth = None if steps is None else steps * found.plan / rate
    short_way = worth is not None and worth < FEW_STEPS
    behind = reached is not None and bottom(reached) > (found.best.high or found.best.value)
    if not (short_way if reached is None else behind and (short_way or (steps or 0) >= found.steps)):
        return []
    way = () if worth is None else (Evidence("the whole training, in steps at the best rate", number(worth)),)
    return [
        Finding(
            code=CODE,
            title=f"The learning rate {number(found.plan)} is too low; {short(rate)} is best",
            severity=severity_of(found, reached, readings),
            standing="verified",
            cause="lr_too_low",
            why="The steps are so short that the training ends before it gets anywhere.",
            evidence=(
                *found.evidence(),
                *way,
                *evidence("training loss at the end", reached, "below the best of the race"),
            ),
            excluded=(found.excluded,),
            remedies=(found.remedy,),
        )
    ]

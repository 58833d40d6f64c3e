"""# OPT04: schedule that ends too early

## What it does
Looks for a rate below a hundredth of its peak over at least three tenths of the steps, and reports the schedule when a
twin of the training at the constant peak rate reaches so much more that the training stays below 0.8 of it.

## Why it is bad
At such a rate nothing moves any more: the training is over long before its last step. A decay meant for every epoch
that is applied at every batch does it.

## Evidence used
- `schedule.late`: the share of the steps at less than a hundredth of the highest rate.
- `twin.no_schedule`: the training again at the constant peak rate, its score on the validation rows beside the
  training's, paired over the rows.

## Known limits
A cosine that ends at zero spends a sixteenth of its steps below a hundredth, and is not meant. The twin is not repeated
where there is no time. A schedule that follows the validation loss is taken as its constant start.

## Remedies
- A schedule laid over the whole training, such as `WarmupCosine` (changes training).

## References
Lecture row L27: schedules.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number
from thalweg.rules.twins import shown

CODE = "OPT04"
NAME = "schedule that ends too early"
STAGE = "training"
NEEDS = ("schedule.late",)

TWIN = "no_schedule"
LONG = 0.3  # of the steps at hardly any rate; a cosine to zero has 0.064: 1 - arccos(-0.98) / pi


def judge(readings: Readings) -> list[Finding]:
    late, tried = readings.value("schedule.late"), shown(readings, TWIN)
    if tried is None or late is None or late < LONG:
        return []
    return [
        Finding(
            code=CODE,
            title=f"The schedule ends too early: {100 * late:.0f} % of the steps had hardly any rate; "
            f"at the constant rate the training reaches {tried.reached} instead of {number(tried.harm.plain.value)}",
            severity=tried.severity,
            standing=tried.standing,
            cause="lr_too_low",
            why="At such a rate the weights do not move any more.",
            evidence=(
                *tried.evidence("the constant rate"),
                Evidence("steps below a hundredth of the peak rate", f"{100 * late:.0f} %", f"{100 * LONG:.0f} %"),
            ),
            excluded=tried.excluded,
            remedies=(
                Remedy("Lay the schedule over the whole training: `tw.schedules.WarmupCosine()`.", "changes training"),
            ),
            remedied=tried.harm.remedied,
        )
    ]

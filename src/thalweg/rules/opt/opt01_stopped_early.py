"""# OPT01: stopped too early

## What it does
Lets a training whose loss still fell go on from its last weights, with its optimizer's state and at its last rate, for
at most as many steps again, and reports the length when the training stays below 0.8 of what it reaches then.

## Why it is bad
The training was on its way. What looks like a weak network or a bad rate is only a short training.

## Evidence used
- `twin.longer`: the training from its end on, its score on the validation rows beside the training's, paired over the
  rows.
- `twin.higher_rate`: where a higher rate reaches in the same steps what more steps reach, LR02 says so, and the length
  is the second cause.

## Known limits
It sees no further than twice the steps. After a schedule that ends at zero it goes on at a tenth of the peak.

## Remedies
- More epochs, or a higher rate (changes training).

## References
Lecture row L37: the loss that still falls at the end.
"""

from thalweg.findings import Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number
from thalweg.rules.twins import shown

CODE = "OPT01"
NAME = "stopped too early"
STAGE = "training"
NEEDS = ("twin.longer.plain",)

TWIN, FASTER = "longer", "higher_rate"


def judge(readings: Readings) -> list[Finding]:
    tried = shown(readings, TWIN)
    if tried is None:
        return []
    second = tried.best == FASTER and tried.verified
    return [
        Finding(
            code=CODE,
            title=f"The training stopped too early: {100 * tried.harm.steps:.0f} % more steps reach {tried.reached} "
            f"instead of {number(tried.harm.plain.value)}",
            severity="warning" if second else tried.severity,
            standing=tried.standing,
            cause="too_few_epochs",
            why="The loss was still falling when the steps were over.",
            evidence=tried.evidence("more steps"),
            excluded=tried.excluded,
            remedies=(Remedy("Train for twice the epochs or more.", "changes training"),),
            remedied=tried.harm.remedied,
        )
    ]

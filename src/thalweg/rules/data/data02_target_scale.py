"""# DATA02: target not normalized

## What it does
Looks at a regression target as it enters the loss, and where its level or spread is a decade or more from 1, tries the
training with a standardized target beside it.

## Why it is bad
Weights begin near zero and move by about the rate per step (with Adam by no more). A target of 200,000 is then millions
of steps away; with a squared error the gradient is as large as the target, and plain descent diverges instead.

## Evidence used
- `target.mean` and `target.deviation`: these only raise the question.
- The answer is a paired probe: the same short training with each target column at mean 0 and deviation 1, compared by
  the share of its own variance (of the loss above the best constant answer's floor) that it learns.

## Known limits
Only floats in the shape of the outputs are looked at, and only where the last layer is free. The probe is short.

## Remedies
- `Plan(target_scaling="standardize")`: predictions come back in the target's unit (safe).

## References
Lecture row L12, for the other end of the network; LeCun et al., "Efficient BackProp" (1998), section 4.5.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number, trial

CODE = "DATA02"
NAME = "target scale"
STAGE = "check"
NEEDS = ("target.distinct",)

DECADE = 10.0  # from scale 1, either way


def odd_target(readings: Readings) -> bool:
    """Whether the target's spread is a decade from 1, or its mean a decade away from 0."""
    mean, deviation = readings.value("target.mean"), readings.value("target.deviation")
    if mean is None or deviation is None or deviation == 0:
        return False
    return not 1 / DECADE < deviation < DECADE or abs(mean) > DECADE


def judge(readings: Readings) -> list[Finding]:
    if not odd_target(readings):
        return []
    found = trial(readings, "scale_target")
    if found is not None and not found.decisive:
        return []
    mean, deviation = readings.value("target.mean"), readings.value("target.deviation")
    assert mean is not None
    assert deviation is not None
    return [
        Finding(
            code=CODE,
            title=f"The target is not normalized: mean {number(mean)}, deviation {number(deviation)}",
            severity="warning",
            standing="verified" if found else "suspicion",
            cause="target_scale",
            why="The outputs begin near zero and move by small steps, too small or too large for such a target.",
            evidence=(
                Evidence("mean of the target", number(mean), f"within {DECADE:g}"),
                Evidence("deviation of the target", number(deviation), f"{1 / DECADE:g} to {DECADE:g}"),
                *(found.evidence("a standardized target") if found else ()),
            ),
            remedies=(Remedy("Standardize the target.", "safe", {"target_scaling": "standardize"}),),
        )
    ]

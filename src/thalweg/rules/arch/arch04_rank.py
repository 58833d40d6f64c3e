"""# ARCH04: a bottleneck before the last layer

## What it does
Measures how many directions the trained network uses for its rows in front of the last layer, and suspects a bottleneck
where these are fewer than half of what its classes need, while plain learners answer the same rows better.

## Why it is bad
What a narrow layer or a collapsed representation has thrown away no later layer can bring back: classes that lie on one
line can only be cut off one after the other.

## Evidence used
- `representation.rank`: the exponential of the entropy of the singular values of what enters the last weight layer,
  over rows; with its width. Of a network that separates K classes it is near K - 1.
- `task.classes`; `reference.gain`: how much better the best of a few plain learners answers, with its interval.

## Known limits
It is a suspicion: that the bottleneck does the harm is not shown. Outputs per position and regressions are not judged.

## Remedies
- More units in the narrowest layer, and in the one before the last at least as many as there are classes (manual).

## References
Roy and Vetterli, "The effective rank" (EUSIPCO 2007); Papyan, Han and Donoho, "Prevalence of neural collapse" (2020).
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number

CODE = "ARCH04"
NAME = "bottleneck"
STAGE = "training"
NEEDS = ("representation.rank", "reference.gain", "task.classes")

HALF = 0.5  # of K - 1, the rank that K separated classes have
FEWEST = 4  # classes: of three, two directions are all


def judge(readings: Readings) -> list[Finding]:
    rank, gain, classes = (readings.last(name) for name in NEEDS)
    assert rank is not None
    assert gain is not None
    assert classes is not None
    better = gain.low is not None and gain.low > 0
    if not better or classes.value < FEWEST or rank.value >= HALF * (classes.value - 1):
        return []
    return [
        Finding(
            code=CODE,
            title=f"Before the last layer rows differ in {rank.value:.1f} directions, for {classes.value:.0f} classes",
            severity="warning",
            standing="suspicion",
            cause="underfitting",
            why="What a narrow layer has thrown away no later one brings back; plain learners show that it is there.",
            place=rank.place,
            step=rank.step,
            evidence=(
                Evidence(
                    "effective rank of what enters the last layer",
                    number(rank.value),
                    f"half of {classes.value - 1:.0f}",
                ),
                Evidence("its width", str(rank.count)),
                Evidence(f"score of {gain.note or 'plain learners'} above the network's", number(gain.value), "0"),
            ),
            remedies=(Remedy("Give the narrowest layer more units, at least as many as there are classes.", "manual"),),
        )
    ]

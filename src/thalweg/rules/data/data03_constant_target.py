"""# DATA03: one target for all rows

## What it does
Compares all targets with the first one.

## Why it is bad
Where every row has the same target, the inputs play no part: a bias learns the answer, the loss falls to zero, accuracy
is perfect, and nothing was learned. Mostly labels were scaled like pixels (`y / 255` as integers), or the wrong column
was read.

## Evidence used
- `target.distinct`: 1 where all targets are equal.

## Known limits
It looks at the sample of rows that the check draws, up to 1,024; it says how many.

## Remedies
- Look at the labels as they enter the loss, and at what was done to them (manual).

## References
Northcutt, Athalye and Mueller, "Pervasive Label Errors in Test Sets" (NeurIPS 2021) on looking at labels first.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings

CODE = "DATA03"
NAME = "constant target"
STAGE = "check"
NEEDS = ("target.distinct",)

ROWS = 30  # equal targets; with a class of 90 % that comes by chance once in 25 draws, so few rows prove nothing


def judge(readings: Readings) -> list[Finding]:
    found = readings.last("target.distinct")
    assert found is not None
    if found.value != 1 or (found.count or 0) < ROWS:
        return []
    return [
        Finding(
            code=CODE,
            title=f"All {found.count:,} targets looked at are the same",
            severity="error",
            standing="proven",
            cause="label_corruption",
            why="A constant answer is perfect: nothing can be learned from the inputs.",
            evidence=(Evidence("different targets", f"1 in {found.count:,} rows"),),
            remedies=(Remedy("Look at the labels as they enter the loss, and at what was done to them.", "manual"),),
        )
    ]

"""# DATA07: one column tells the target

## What it does
Predicts the target from each column of a table alone, and from all other columns together, on rows that were not used
for it, and names a column that alone knows nearly all of it.

## Why it is bad
Such a column is often no cause but a consequence of the target, or a number that was given when the target was known:
the length of a call whose outcome is asked for, an account number, a diagnosis code. It will not be there when
predictions are needed, and every measure is then too good. It may also be legitimate, which the data cannot tell.

## Evidence used
- `column.alone`: the share of the target's variance (of its classes as zeros and ones) that the means of the column's
  bins explain, cross-fitted over five folds, with the 95 % interval over rows.
- `column.others`: the same for a ridge regression on all other columns and their squares. A suspicion where the one
  column explains more than 0.9 and the others leave more than 0.3 of it.

## Known limits
Tables of 3 to 256 columns; up to 2,000 rows. Two columns that tell the target together only, or that are copies of each
other, are not found. It is never an alarm.

## Remedies
- Ask whether the column is known when a prediction is made; if not, leave it out (manual).

## References
Kaufman, Rosset and Perlich, "Leakage in Data Mining: Formulation, Detection, and Avoidance" (KDD 2011).
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.outcome import bottom, with_interval
from thalweg.rules.trial import number

CODE = "DATA07"
NAME = "one column tells the target"
STAGE = "check"
NEEDS = ("column.alone", "column.others")

ALONE = 0.9  # of the variance: bank marketing's call length, a textbook leak, is below; iris's best petal width at 0.93
LEFT = 0.3  # of the variance more than all others together, so that no ordinary good predictor is suspected


def judge(readings: Readings) -> list[Finding]:
    alone, others = readings.last("column.alone"), readings.last("column.others")
    assert alone is not None
    assert others is not None
    if bottom(alone) < ALONE or alone.value - others.value < LEFT:
        return []
    return [
        Finding(
            code=CODE,
            title=f"Column {alone.place} alone explains {100 * alone.value:.0f} % of the target",
            severity="warning",
            standing="suspicion",
            cause="target_leak",
            why="A column that follows from the target is not there when a prediction is needed.",
            place=f"column {alone.place}",
            evidence=(
                Evidence("share of the target explained by this column", with_interval(alone), f"{ALONE:g}"),
                Evidence("by all other columns together", number(others.value), f"{LEFT:g} less"),
            ),
            remedies=(Remedy("Leave it out, unless it is known when a prediction is made.", "manual"),),
        )
    ]

"""# DATA09: constant, equal and nearly dependent columns

## What it does
Counts the columns of a table that are constant, those that are another one up to scale and offset, and tells how nearly
the remaining ones depend on each other.

## Why it is bad
Constant columns say nothing, and equal ones nothing new; both may hide that the wrong column was read. Where columns
nearly depend on each other the loss of the first layer is steep in some directions and flat in others, and gradient
descent takes as many steps as the ratio, which standardizing each column does not change.

## Evidence used
- `columns.constant`, `columns.equal`: counts, with names. They are proofs, about the rows that were looked at.
- `columns.condition`: largest over smallest eigenvalue of the correlations. From 10,000 on it is told: two decades of
  scale, as between unnormalized columns.

## Known limits
Tables of 3 to 256 columns; up to 2,000 rows. It is a note: networks and optimizers with a rate per weight stand much.

## Remedies
- Leave constant and equal columns out (safe).
- Rotate dependent columns into principal components: `Plan(preprocessing=PCA())` (changes training).

## References
Lecture row L12; LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998), section 4.3.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number

CODE = "DATA09"
NAME = "constant, equal and dependent columns"
STAGE = "check"
NEEDS = ("columns.constant",)

CONDITION = 1e4  # of the correlations: as the squares of scales a hundredfold apart, from which on DATA01 asks


def judge(readings: Readings) -> list[Finding]:
    constant, equal = readings.last("columns.constant"), readings.last("columns.equal")
    condition = readings.value("columns.condition") or 1.0
    told = [r for r in (constant, equal) if r is not None and r.value > 0]
    if not told and condition < CONDITION:
        return []
    words = {"columns.constant": "constant", "columns.equal": "equal to another"}
    parts = [f"{r.value:.0f} {'is' if r.value == 1 else 'are'} {words[r.name]}" for r in told]
    return [
        Finding(
            code=CODE,
            title=f"Of the columns {' and '.join(parts)}" if parts else "The columns nearly depend on each other",
            severity="note",
            standing="proven",
            cause="input_scale",
            why="They say nothing new, or let the loss be steep in some directions and flat in others.",
            evidence=(
                *(Evidence(f"columns that are {words[r.name]}, in {r.count:,} rows", r.note) for r in told),
                Evidence("condition number of the correlations", number(condition), number(CONDITION)),
            ),
            remedies=(
                Remedy("Leave constant and equal columns out.", "safe"),
                Remedy("Rotate dependent columns into principal components.", "changes training"),
            ),
        )
    ]

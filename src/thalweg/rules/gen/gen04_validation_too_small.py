"""# GEN04: validation too small to tell

## What it does
Tells how large a difference between two trainings must be before these validation rows can show it, where that is more
than a tenth of what the network has learned.

## Why it is bad
Choices made on such rows (epoch, rate, size) follow chance, and the best of many looks better than it is.

## Evidence used
- `outcome.score` with its 95 % interval over the validation rows, and `outcome.constant`.

## Known limits
Two networks that answer mostly the same rows right can be compared more closely than this: paired comparisons
(`experiment.compare`) see less than half the difference. A sample of at most 2,000 rows is looked at.

## Remedies
- More validation rows, or cross-validation, which uses every row once (manual).

## References
Bouthillier et al., "Accounting for Variance in Machine Learning Benchmarks" (MLSys 2021).
"""

from math import sqrt

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.outcome import lost, with_interval
from thalweg.rules.trial import number

CODE = "GEN04"
NAME = "validation too small to tell"
STAGE = "training"
NEEDS = ("outcome.score", "outcome.constant")

SHARE = 0.1  # of what was learned: finer differences decide between sound networks
SAMPLE = 2000  # rows that are looked at, at most: the part may have more


def judge(readings: Readings) -> list[Finding]:
    found, constant = readings.last("outcome.score"), readings.value("outcome.constant")
    assert found is not None
    assert constant is not None
    if lost(readings) or found.low is None or found.high is None or (found.count or 0) >= SAMPLE:
        return []
    # Two independent scores differ by chance by sqrt(2) times as much as one does from the truth.
    seen = sqrt(2) * (found.high - found.low) / 2
    learned = found.value - constant
    if learned <= 0 or found.low <= constant or seen <= SHARE * learned:
        return []
    return [
        Finding(
            code=CODE,
            title=f"{found.count:,} validation rows show no difference below {number(round(seen, 3))}",
            severity="note",
            standing="proven",
            cause="few_rows",
            why="The score of so few rows moves by chance more than sound choices differ.",
            place="validation",
            evidence=(
                Evidence(f"{found.note or 'score'} on validation rows", with_interval(found)),
                Evidence(
                    "difference of two trainings that is beyond chance", number(seen), f"{SHARE:g} of what is learned"
                ),
            ),
            remedies=(
                Remedy("Give more validation rows, or use experiment.cross_validate.", "manual"),
                Remedy("Compare with experiment.compare, which pairs the rows.", "safe"),
            ),
        )
    ]

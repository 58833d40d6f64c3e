"""# DATA10: nearly equal rows across the split

## What it does
Looks for validation rows that are nearly a training row without being equal to it: the same picture saved twice, the
same measurement with another rounding, a row that was augmented before the split.

## Why it is bad
A row that is nearly known is nearly remembered: measures on such rows are too good.

## Evidence used
- `near.share`: rows whose distance to a training row, in 64 principal components, is below a tenth of what a training
  row has to its nearest other one at the median, and that correlate with it by more than 0.99 in all values.

## Known limits
Rows of floats with 8 columns or more, up to 2,048 training rows: the share is scaled up where there are more. Rows that
are near by nature, such as frames of a film or a background without a picture, are found too: it is a suspicion.

## Remedies
- Keep what belongs together in one part: `groups=` with one key per picture, person or recording (manual).

## References
Barz and Denzler, "Do We Train on Test Data? Purging CIFAR of Near-Duplicates" (2020).
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings

CODE = "DATA10"
NAME = "nearly equal rows across the split"
STAGE = "check"
NEEDS = ("near.share",)

SHARE, ROWS = 0.01, 5  # as of exact copies: from here on they move measures in the digits that people compare


def judge(readings: Readings) -> list[Finding]:
    found = readings.last("near.share")
    assert found is not None
    count, rows = found.count or 0, readings.value("near.rows", found.place) or 0.0
    if found.value < SHARE or rows < ROWS:
        return []
    return [
        Finding(
            code=CODE,
            title=f"About {100 * found.value:.2g} % of the {found.place} rows are nearly a training row",
            severity="warning",
            standing="suspicion",
            cause="split_leak",
            why="What is nearly known is nearly remembered: measures on such rows are too good.",
            place=found.place,
            evidence=(
                Evidence(f"found among {count:,} rows looked at", f"{rows:.0f}", f"{ROWS}"),
                Evidence("of all rows, about", f"{100 * found.value:.2g} %", f"{100 * SHARE:g} %"),
                Evidence("the first", found.note),
            ),
            remedies=(Remedy("Keep what belongs together in one part, with groups=.", "manual"),),
        )
    ]

"""# DATA04: duplicates across the split

## What it does
Compares the inputs of the validation and the test rows with those of the training rows, byte by byte, and says how many
are the same, which rows these are, and whether that can be chance.

## Why it is bad
A row that was trained on is recognized, not predicted. Measures on such rows tell how well the network remembers, and
validation chooses the epoch that remembers best.

## Evidence used
- `duplicates.share`: rows of a part whose inputs are those of a training row. The test rows stay sealed: only hashes
  were compared, once, when the data were split. It is a proof.
- `duplicates.informative`: the share whose values, were the columns independent, would not once be equal by chance
  among all pairs of rows. From 1 % of a part and 5 rows on it is a warning: copies, of which new data would have fewer.
  A row that is very frequent and has different targets stands for a missing measurement, and is not counted.
- `duplicates.expected`: the share of training rows that equal another training row (Good and Turing). A table of a few
  categories has many equal rows, in new data as well; rows like these are a note, and a suspicion where there are more
  by three deviations and one point.
- `duplicates.conflicts`: equal rows with different targets, which bound what any network can reach.

## Known limits
Only exact copies are found: not the same picture at another size, nor the same person twice (`groups=` keeps those
together). Items of a Dataset and of a stream are not compared. Columns that follow from one another make a row look as
if it said more than it does.

## Remedies
- Leave out the copies, or keep them on one side: `groups=` with one key per different row (manual).

## References
Lecture row L34; Barz and Denzler, "Do We Train on Test Data? Purging CIFAR of Near-Duplicates" (2020); Good, "The
Population Frequencies of Species" (1953) on the share expected.
"""

import math

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Reading, Readings

CODE = "DATA04"
NAME = "duplicates across the split"
STAGE = "check"
NEEDS = ("duplicates.share",)

SHARE = 0.01  # of a part: from here on the copies move its measures in the digits that people compare
COPIES = 5  # at least: of a few rows measured coarsely a pair is soon equal (iris has one)
DEVIATIONS, POINTS = 3.0, 0.01  # above the share expected by chance

HARM = "Rows that were trained on are recognized, not predicted: measures on them are too good."
HARMLESS = "They are so few, or say so little, that new data would have as many."


def judge(readings: Readings) -> list[Finding]:
    found = [r for r in readings.of("duplicates.share") if r.value > 0]
    if not found:
        return []
    copies = {r.place: value(readings, "informative", r.place) for r in found}
    beyond = [r for r in found if in_excess(r, value(readings, "expected", r.place))]
    warned = any(copies[r.place] >= SHARE and copies[r.place] * (r.count or 0) >= COPIES for r in found)
    worst = max(found, key=lambda r: (copies[r.place], r.value))
    return [
        Finding(
            code=CODE,
            title=f"{rows(worst)} {'are copies of training rows' if warned else 'have the inputs of a training row'}",
            severity="warning" if warned or beyond else "note",
            standing="suspicion" if beyond and not warned else "proven",
            cause="split_leak",
            why=HARM if warned or beyond else HARMLESS,
            place=worst.place,
            evidence=tuple(line for r in found for line in evidence(readings, r)) + conflicts(readings),
            remedies=(
                Remedy(
                    "Leave out the copies, or keep equal rows in one part: groups= with a key per different row.",
                    "manual",
                ),
            ),
        )
    ]


def value(readings: Readings, name: str, place: str) -> float:
    return readings.value(f"duplicates.{name}", place) or 0.0


def rows(found: Reading) -> str:
    """`"12 of 3,000 test rows (0.40 %)"`."""
    count = found.count or 0
    return f"{round(found.value * count):,} of {count:,} {found.place} rows ({percent(found.value)})"


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def in_excess(found: Reading, expected: float) -> bool:
    """Whether a part has more rows of the training rows than chance, as the training rows themselves show it, gives."""
    count = max(found.count or 1, 1)
    expected = max(expected, 1 / count)  # of a few rows no share is known to be nothing
    deviation = math.sqrt(max(expected * (1 - expected), 0.0) / count)
    return found.value > expected + max(DEVIATIONS * deviation, POINTS)


def evidence(readings: Readings, found: Reading) -> list[Evidence]:
    part = found.place
    return [
        Evidence(f"{part} rows with the inputs of a training row", percent(found.value)),
        Evidence("of which chance is out of the question", percent(value(readings, "informative", part)), "1 %"),
        Evidence("training rows that equal another training row", percent(value(readings, "expected", part))),
        Evidence("the first", found.note),
    ]


def conflicts(readings: Readings) -> tuple[Evidence, ...]:
    found = [r for r in readings.of("duplicates.conflicts") if r.value > 0]
    return tuple(Evidence(f"{r.place} rows whose equal has another target", f"{r.value:,.0f}") for r in found)

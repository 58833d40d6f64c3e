"""# DATA04: duplicates across the split

## What it does
Compares the inputs of the validation and the test rows with those of the training rows, byte by byte, and says how many
are the same, which rows these are, whether that can be chance, and after the training how much they add to the score.

## Why it is bad
A row that was trained on is recognized, not predicted. Measures on such rows tell how well the network remembers, and
validation chooses the epoch that remembers best.

## Evidence used
- `duplicates.share`: rows of a part whose inputs are those of a training row. The test rows stay sealed: only hashes
  were compared, once, when the data were split. It is a proof.
- `duplicates.expected`: the share of training rows that equal another training row (Good and Turing). Names, or a table
  of a few categories, have many equal rows, in new data as well; a part has too many where it has more by three
  deviations and one point.
- `duplicates.informative`: the share whose values, were the columns independent, would not once be equal by chance
  among all pairs of rows. From 1 % of a part and 5 rows on it is a suspicion: copies, of which new data have fewer. A
  row that is very frequent and has different targets stands for a missing measurement, and is not counted.
- `duplicates.own_values`: whether a column has another value in nearly every different training row. Such rows are
  never equal by chance, however the columns depend on each other.
- `leak.difference`: the score on all validation rows less the score without what copies add, compared class by class.
  It is a warning where there are too many copies, or copies of rows that are never equal by chance, and the score is
  too good by more than two standard errors and by 0.1, or by a fifth of what is above a constant answer; of copies by
  chance only what is beyond the expected share counts.
- `duplicates.conflicts`: equal rows with different targets, which bound what any network can reach.

## Known limits
Only exact copies are found: not the same picture at another size, nor the same person twice (`groups=` keeps those
together). Items of a Dataset and of a stream are not compared. Where nearly all validation rows are copies, or those of
the sealed test rows, what they add cannot be measured, and it stays a suspicion.

## Remedies
- Leave out the copies, or keep them on one side: `groups=` with one key per different row (manual).

## References
Lecture row L34; Barz and Denzler, "Do We Train on Test Data? Purging CIFAR of Near-Duplicates" (2020); Good, "The
Population Frequencies of Species" (1953) on the share expected.
"""

import math

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.outcome import with_interval

CODE = "DATA04"
NAME = "duplicates across the split"
STAGE = "check"
NEEDS = ("duplicates.share",)

SHARE = 0.01  # of a part: from here on the copies move its measures in the digits that people compare
COPIES = 5  # at least: of a few rows measured coarsely a pair is soon equal (iris has one)
DEVIATIONS, POINTS = 3.0, 0.01  # above the share expected by chance
OWN_VALUES = 0.99  # of different rows: then one column alone is equal by chance less often than once in N^2 / 2 pairs
HARM = 0.1  # of the score: a leaked split is one that is so much too good
PART_OF_SCORE = 0.2  # of what is above a constant answer, and then at least half of HARM

REMEMBERED = "Rows that were trained on are recognized, not predicted: measures on them are too good."
HARMLESS = "They are so few, or say so little, that new data would have as many."
NO_GAIN = "The rows without a copy are answered as well, so that the measures are right all the same."


def judge(readings: Readings) -> list[Finding]:
    found = [r for r in readings.of("duplicates.share") if r.value > 0]
    if not found:
        return []
    copies = {r.place: value(readings, "informative", r.place) for r in found}
    excess = {r.place: in_excess(r, value(readings, "expected", r.place)) for r in found}
    many = {r.place: copies[r.place] >= SHARE and copies[r.place] * (r.count or 0) >= COPIES for r in found}
    doubted = [r for r in found if excess[r.place] or many[r.place]]
    unnatural = [r for r in doubted if excess[r.place] or value(readings, "own_values", r.place) >= OWN_VALUES]
    harmed = [r for r in unnatural if too_good(readings, r.place)]
    open_still = [r for r in doubted if not no_gain(readings, r.place)]
    worst = max(harmed or doubted or found, key=lambda r: (copies[r.place], r.value))
    why = REMEMBERED if harmed or open_still else NO_GAIN if doubted else HARMLESS
    return [
        Finding(
            code=CODE,
            title=f"{rows(worst)} {'are copies of training rows' if doubted else 'have the inputs of a training row'}",
            severity="warning" if harmed or open_still else "note",
            standing="verified" if harmed else "suspicion" if open_still else "proven",
            cause="split_leak",
            why=why,
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


def too_good(readings: Readings, part: str) -> bool:
    """Whether copies raise the score of a part beyond chance, and by so much that it misleads."""
    difference, whole = readings.last("leak.difference", part), readings.value("leak.score", part)
    if difference is None or whole is None or difference.low is None or difference.low <= 0:
        return False
    gain = difference.value * beyond_chance(readings, part)
    above = whole - (readings.value("leak.constant", part) or 0.0)
    return gain >= HARM or gain >= max(PART_OF_SCORE * above, HARM / 2)


def beyond_chance(readings: Readings, part: str) -> float:
    """The share of a part's copies that new data would not have."""
    share = value(readings, "share", part)
    if value(readings, "own_values", part) >= OWN_VALUES:
        return 1.0
    return max(1 - value(readings, "expected", part) / share, 0.0) if share else 0.0


def no_gain(readings: Readings, part: str) -> bool:
    """Whether it was measured that copies raise the score by less than what misleads."""
    difference = readings.last("leak.difference", part)
    return difference is not None and difference.high is not None and difference.high < HARM / 2


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
    lines = [
        Evidence(f"{part} rows with the inputs of a training row", percent(found.value)),
        Evidence("of which chance is out of the question", percent(value(readings, "informative", part)), "1 %"),
        Evidence("training rows that equal another training row", percent(value(readings, "expected", part))),
        Evidence("the first", found.note),
    ]
    difference, score, clean = (readings.last(f"leak.{name}", part) for name in ("difference", "score", "clean"))
    if difference is not None and score is not None and clean is not None:
        lines += [
            Evidence(f"{score.note} on {part} rows, all and without copies", f"{score.value:.3f}, {clean.value:.3f}"),
            Evidence("what copies add to it", with_interval(difference), f"{HARM:g}, interval above 0"),
        ]
    return lines


def conflicts(readings: Readings) -> tuple[Evidence, ...]:
    found = [r for r in readings.of("duplicates.conflicts") if r.value > 0]
    return tuple(Evidence(f"{r.place} rows whose equal has another target", f"{r.value:,.0f}") for r in found)

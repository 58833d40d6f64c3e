"""# DATA12: rows that belong together are in both parts

## What it does
Looks in a table that was split at random for a column that tells who or what a row is of (`patient_id`, `session`) or
when it was (a date), and asks whether the split lets a learner profit from rows of the same id, or of the same time.

## Why it is bad
Rows of one person, machine or day resemble each other in what has nothing to do with the question. A validation row
whose relatives were trained on is easier than the rows of new persons or of tomorrow, for which the network is made:
measures are too good.

## Evidence used
- `group.shared` and `time.shared`: how many validation rows have their id among the training rows, or are not later
  than these.
- `group.gap` and `time.gap`: how much better a plain learner (five nearest rows) answers them than without the training
  rows of their id, or of their time, and with as many others left out; paired by row, with two standard errors (over
  ids where there are any). From 0.03 on, beyond these errors, it is a suspicion; else a note.

## Known limits
Columns are known by their names and kinds; tables only. Whether new ids or later times are what the network is for, no
data tell: it is never more than a suspicion. Other learners may profit more or less than the nearest rows.

## Remedies
- Say what belongs together: `groups="patient_id"`, or `time="date"` (manual).

## References
Lecture row L34; Kaufman et al., "Leakage in Data Mining" (2012); Kapoor and Narayanan, "Leakage and the Reproducibility
Crisis in Machine-Learning-based Science" (2023).
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.trial import number

CODE = "DATA12"
NAME = "rows that belong together in both parts"
STAGE = "check"
NEEDS = ("split.random",)

SHARED = 0.5  # of the validation rows: of fewer most are of new ids as it is
CLEAR = 0.03  # of accuracy or R2: what two trainings that differ in their order of rows differ by


def judge(readings: Readings) -> list[Finding]:
    found = [finding(readings, r, "group") for r in readings.of("group.shared") if r.value >= SHARED]
    return found + [finding(readings, r, "time") for r in readings.of("time.shared") if r.value >= SHARED]


def finding(readings: Readings, shared: Reading, kind: str) -> Finding:
    gap = readings.last(f"{kind}.gap", shared.place)
    clear = gap is not None and (gap.low or 0.0) > 0 and gap.value >= CLEAR
    share = f"{100 * shared.value:.0f} %"
    by_id = kind == "group"
    title = f"Rows of one {shared.place!r} are in both parts: {share} of the validation rows have theirs in training"
    if not by_id:
        title = f"Validation rows lie within the time of the training rows, by {shared.place!r}: {share} of them"
    evidence = [Evidence("validation rows concerned", share, f"{100 * SHARED:g} %")]
    if by_id:
        evidence.append(Evidence("values of the column in training", f"{shared.count or 0:,}"))
    if gap is not None:
        whose = "their own id" if by_id else "their own time and later"
        evidence += [
            Evidence(f"five nearest rows answer them, with and without rows of {whose}", gap.note),
            Evidence(
                f"difference on {gap.count} rows, as many others left out instead",
                f"{number(gap.value)} ({number(gap.low or 0.0)} to {number(gap.high or 0.0)})",
                f"{CLEAR:g}, beyond two standard errors",
            ),
        ]
    return Finding(
        code=CODE,
        title=title,
        severity="warning" if clear else "note",
        standing="suspicion" if clear else "proven",
        cause="split_leak",
        why="What such rows have in common is learned from one part and helps in the other; it will not help with new "
        + ("ids." if by_id else "times."),
        place=shared.place,
        evidence=tuple(evidence),
        remedies=(
            Remedy(
                f"If the network is for new ids, split by them: groups={shared.place!r}."
                if by_id
                else f"If the network is for later rows, split by time: time={shared.place!r}.",
                "manual",
            ),
        ),
    )

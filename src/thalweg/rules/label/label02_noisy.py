"""# LABEL02: noisy labels

## What it does
Estimates how many training labels are another class's than the row's own, and lists the most suspect rows.

## Why it is bad
A network that trains for long learns wrong labels by heart, and answers rows like these wrong. Wrong labels among the
validation rows make every network look worse than it is.

## Evidence used
- `labels.noise`: plain learners answer each training row without having seen it. For a label dealt out at random the
  output of its class lies below the median output of wrong classes half of the time, for a right label hardly ever:
  twice that share is the estimate. It is told where its 95 % interval lies above 5 %; labels of the open cases that are
  known to be clean give 0 to 6 %, planted shares of 3, 10 and 30 % give 2 to 6, 9 to 16, 25 to 37 %.
- `labels.suspect`: rows whose label is contradicted most. At 10 % planted noise 60 to 95 % of as many rows listed first
  are truly wrong, at 3 % about half to nine tenths.

## Known limits
It is a suspicion: rows that are drawn badly, cut off or belong to several classes look the same. Labels that are
confused systematically with a similar class are hardly seen. At most 2,000 training rows are looked at, and nothing is
said where plain learners explain less than three tenths of the target.

## Remedies
- Look at the rows listed, correct them or leave them out (manual).
- Label smoothing, or a shorter training (changes training).

## References
Northcutt, Jiang and Chuang, "Confident Learning" (JAIR 2021); Northcutt et al. (2021): 3 % wrong labels in the test
sets of ten benchmarks.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.outcome import bottom, lost, with_interval

CODE = "LABEL02"
NAME = "noisy labels"
STAGE = "training"
NEEDS = ("labels.noise",)

LEAST = 0.05  # share of wrong labels that the interval must exceed: clean open cases reach 0.063, none surely 0.05
LISTED = 10  # rows


def judge(readings: Readings) -> list[Finding]:
    found = readings.last("labels.noise")
    assert found is not None
    if lost(readings) or bottom(found) <= LEAST:
        return []
    suspects = sorted(readings.of("labels.suspect"), key=lambda r: -r.value)[:LISTED]
    return [
        Finding(
            code=CODE,
            title=f"About {100 * found.value:.0f} % of the training labels seem to be wrong",
            severity="warning",
            standing="suspicion",
            cause="label_corruption",
            why="Learners that have not seen a row contradict its label as they would contradict one dealt at random.",
            place="training rows",
            evidence=(
                Evidence(f"share of wrong labels, of {found.count:,} rows", with_interval(found), f"{LEAST:g}"),
                Evidence("rows to look at first", ", ".join(r.place for r in suspects)),
            ),
            remedies=(
                Remedy("Look at these rows; correct their labels or leave them out.", "manual"),
                Remedy("Smooth the labels, or train shorter.", "changes training", {"label_smoothing": 0.1}),
            ),
        )
    ]

"""# DATA05: classes without training rows

## What it does
Counts the classes of the training rows and of the other parts, and names those that no training row has.

## Why it is bad
A network learns never to give the answer that no training row has: the rows of such a class are all wrong. Where the
training rows have one class only and the others several, the training labels are broken (`y / 255` as integers), the
loss falls to zero, and nothing was learned.

## Evidence used
- `labels.classes`: how many classes each part has, counted over all its rows.
- `labels.unseen`: the share of a part's rows whose class no training row has. It is a proof. As these rows cannot be
  right, a fifth of a part is a warning: the best network reaches less than 0.8 of what it would reach; fewer a note.

## Known limits
Only for a loss of the user's own and classes 0, 1, ...: labels that a named loss has no output for are refused when the
experiment is made. Classes that a network
knows from an earlier training are not told apart from unknown ones.

## Remedies
- Look at the training labels, and at what was done to them (manual).
- Leave the rows of these classes out, or move some of them to the training rows (manual).

## References
Quiñonero-Candela et al. (eds.), "Dataset Shift in Machine Learning" (2009), on prior probability shift.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Reading, Readings

CODE = "DATA05"
NAME = "classes without training rows"
STAGE = "check"
NEEDS = ("target.distinct",)

ROWS = 30  # training rows of one class; with a class of 90 % fewer come by chance once in 25 draws, and prove nothing
HARM = 0.2  # of a part's rows, none of which can be right: 0.8 of the score is what a harmed training reaches


def judge(readings: Readings) -> list[Finding]:
    found = [r for r in readings.of("labels.unseen") if r.value > 0]
    if not found:
        return []
    worst = max(found, key=lambda r: (r.place == "validation", r.value))
    trained = readings.last("labels.classes", "train")
    alone = trained is not None and trained.value == 1 and (trained.count or 0) >= ROWS
    if alone:
        return [constant(readings, worst)]
    harmed = worst.value >= HARM
    return [
        Finding(
            code=CODE,
            title=f"{percent(worst)} of the {worst.place} rows are of {worst.note}, which no training row has",
            severity="warning" if harmed else "note",
            standing="proven",
            cause="split_shift",
            why="The network learns never to give an answer that no training row has: these rows are all wrong.",
            place=worst.place,
            evidence=tuple(line(r) for r in found),
            remedies=(
                Remedy("Move some rows of these classes to the training rows, or leave them out.", "manual"),
                Remedy("Look at the training labels, and at what was done to them.", "manual"),
            ),
        )
    ]


def constant(readings: Readings, worst: Reading) -> Finding:
    """The finding where the training rows have one class only."""
    held, trained = readings.value("labels.classes", worst.place), readings.last("labels.classes", "train")
    assert trained is not None
    return Finding(
        code=CODE,
        title=f"The training rows have one class, the {worst.place} rows {held:.0f}",
        severity="error",
        standing="proven",
        cause="label_corruption",
        why="A constant answer is perfect on the training rows: nothing can be learned from the inputs.",
        place="train",
        evidence=(Evidence("classes in the training rows", f"1 in {trained.count:,} rows"), line(worst)),
        remedies=(Remedy("Look at the training labels, and at what was done to them.", "manual"),),
    )


def line(found: Reading) -> Evidence:
    return Evidence(f"{found.place} rows of classes without training rows", percent(found), f"{100 * HARM:.0f} %")


def percent(found: Reading) -> str:
    return f"{100 * found.value:.2g} %"

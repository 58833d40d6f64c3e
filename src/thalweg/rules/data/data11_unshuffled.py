"""# DATA11: rows in the order of their classes

## What it does
Counts the classes of each batch of a DataLoader or a stream that keeps its own order, and asks whether they are spread
as by chance.

## Why it is bad
Where batches hold one class each, and many batches of it follow one another, every step pulls the network towards that
answer alone; what was learned of the other classes is forgotten before they come again, and batch norm sees a kind of
row that never comes in evaluation.

## Evidence used
- `order.level`: the level of a chi-square test that batches and classes are independent.
- `order.largest` and `order.expected`: mean share of a batch's most frequent class, as it is and in random order.
- `order.run`: batches in a row with the same most frequent class. Batches of nearly one class each, five and more of
  the same in a row, are a warning; less is a suspicion or a note.

## Known limits
Only for classes. Rows that are given as arrays or as a Dataset are shuffled anew each epoch, and need no such test. Up
to 1,000 batches are looked at.

## Remedies
- Shuffle: `DataLoader(..., shuffle=True)`, or a shuffle buffer in the stream (safe).

## References
Lecture row L08; Bottou, "Curiously Fast Convergence of Some Stochastic Gradient Descent Algorithms" (2009), on the
order of rows; McCloskey and Cohen, "Catastrophic Interference in Connectionist Networks" (1989).
"""

from typing import Literal

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number

CODE = "DATA11"
NAME = "rows in the order of their classes"
STAGE = "check"
NEEDS = ("order.level", "order.largest", "order.expected", "order.run")

LEVEL = 1e-6  # of the chi-square test
SINGLE, RUN = (
    0.9,
    5.0,
)  # share of one class in a batch, and batches in a row: then a class is unlearned before it returns
MIXED = 0.75  # of a random batch in one class at most, so that single classes are not the rule anyway


def judge(readings: Readings) -> list[Finding]:
    level, largest, expected, run = (readings.value(name) for name in NEEDS)
    assert level is not None
    assert largest is not None
    assert expected is not None
    assert run is not None
    if level >= LEVEL:
        return []
    halfway = largest >= (1 + expected) / 2
    single = largest >= SINGLE and run >= RUN and expected <= MIXED
    standing: Literal["proven", "suspicion"] = "suspicion" if halfway and not single else "proven"
    return [
        Finding(
            code=CODE,
            title=f"Batches hold {100 * largest:.0f} % of one class, {100 * expected:.0f} % were they shuffled",
            severity="warning" if halfway else "note",
            standing=standing,
            cause="unshuffled",
            why="Each step pulls towards one answer; the other classes are forgotten before they come again.",
            place="train",
            evidence=(
                Evidence("level of a test that classes are spread by chance", number(level), number(LEVEL)),
                Evidence("mean share of a batch's largest class", f"{largest:.2f}", f"{SINGLE:g}"),
                Evidence("the same in random order", f"{expected:.2f}"),
                Evidence("batches in a row of the same class", f"{run:.1f}", f"{RUN:g}"),
            ),
            remedies=(Remedy("Shuffle the rows: DataLoader(..., shuffle=True), or a shuffle buffer.", "safe"),),
        )
    ]

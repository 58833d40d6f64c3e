"""# LOOP07: rows in the order of their labels

## What it does
Tests whether labels differ between batches more than they do when rows are shuffled.

## Why it is bad
The network learns the label of the moment and forgets those before: each batch pulls it to one answer.

## Evidence used
- `loop.order`: the difference of labels between batches, with the chance of it under shuffling (a test of
  homogeneity).
- The twin of the loop, which sees the same rows shuffled: harm is what it reaches beyond the last weights, on rows of
  all the batches that were seen.

## Known limits
Samplers that put few classes into each batch on purpose look alike; without harm it is a note. Regressions and targets
of several labels are not tested: rows in the order of time are alike without being wrong.

## Remedies
- `DataLoader(..., shuffle=True)`, or a new permutation in every epoch (safe).

## References
Lecture row L17; Bottou, "Curiously fast convergence of some stochastic gradient descent algorithms" (2009).
"""

from thalweg.findings import Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.loop.order import evidence, in_order
from thalweg.rules.loop.repaired import excluded, lines, repaired

CODE = "LOOP07"
NAME = "rows in the order of their labels"
STAGE = "training"
NEEDS = ("loop.order",)


def judge(readings: Readings) -> list[Finding]:
    if not in_order(readings):
        return []
    twin = repaired(readings)
    harmed = twin is not None and twin.harmed
    return [
        Finding(
            code=CODE,
            title="Rows come in the order of their labels",
            severity="error" if harmed else "note",
            standing="verified" if harmed else "proven",
            cause="unshuffled",
            why="Each stretch of one label pulls the network to that answer, and it forgets the others.",
            step=0 if harmed else None,
            evidence=(*evidence(readings), *lines(twin, "that shuffles them")),
            excluded=excluded(twin),
            remedies=(Remedy("Shuffle the rows in every epoch: DataLoader(..., shuffle=True).", "safe"),),
        )
    ]

"""# GEN02: underfitting

## What it does
Reports when the trained network answers its own training rows hardly better than a constant would, though it could
learn a few of them by heart.

## Why it is bad
It has not found what the target depends on; training and validation loss are close because both are bad.

## Evidence used
- `fit.train_loss` and `fit.validation_loss`, in evaluation mode with the kept weights; `loss.constant` or
  `race.constant`, the loss of the best constant answer.
- `overfit.share`: what the same network reaches on a few rows.

## Known limits
It is a suspicion. The rest may be irreducible: noise that no network can explain. A wrong rate, broken labels or inputs
have rules of their own, which come first.

## Remedies
- A larger network, less regularization, a longer training, better inputs (manual).

## References
Lecture row L37: both losses close, or both high.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.outcome import constant_loss, evidence, lost, removed
from thalweg.rules.trial import number

CODE = "GEN02"
NAME = "underfitting"
STAGE = "training"
NEEDS = ("fit.train_loss", "fit.validation_loss")

LITTLE = 0.1  # of the learnable loss


def judge(readings: Readings) -> list[Finding]:
    train, validation = readings.last("fit.train_loss"), readings.last("fit.validation_loss")
    assert train is not None
    assert validation is not None
    share, memory = removed(readings, train.value), readings.value("overfit.share")
    if lost(readings) or share is None or share >= LITTLE or (memory is not None and memory <= LITTLE):
        return []
    constant = constant_loss(readings)
    few = () if memory is None else (Evidence("the same on a few rows", f"{100 * memory:.0f} %"),)
    return [
        Finding(
            code=CODE,
            title=f"Underfitting: {100 * max(share, 0.0):.0f} % of the learnable training loss is gone",
            severity="warning",
            standing="suspicion",
            cause="underfitting",
            why="Even the rows it trained on are answered hardly better than by one constant answer.",
            evidence=(
                *evidence("loss on training rows", train),
                *evidence("loss on validation rows", validation),
                *((Evidence("loss of the best constant answer", number(constant)),) if constant is not None else ()),
                *few,
            ),
            remedies=(
                Remedy("Train longer, or use a larger network or less regularization.", "changes training"),
                Remedy("Give it inputs that the target depends on.", "manual"),
            ),
        )
    ]

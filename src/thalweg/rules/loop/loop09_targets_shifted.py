"""# LOOP09: targets of another batch

## What it does
Where a loop learns nothing, trains short twins on the pairs as they came, and on the inputs of each batch with the
targets of the batch before or after it.

## Why it is bad
The pairs say nothing: the best answer is a constant one. Usual reasons: two iterators that are a batch apart, a shuffle
of inputs without their targets, a prefetched target.

## Evidence used
- `lag.gain`: accuracy or R2 beyond a constant answer on rows held out, of the pairs as they came and shifted by one
  batch, each with three standard errors.

## Known limits
Only neighboring batches are tried, on the first steps. Rows without any order to find are told by LR03.

## Remedies
- Take inputs and targets from one iterator, as pairs (manual).

## References
Lecture row L35: look at rows with their labels after all preparation.
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.outcome import with_interval

CODE = "LOOP09"
NAME = "targets of another batch"
STAGE = "training"
NEEDS = ("lag.gain",)

LEAST = 0.1  # beyond a constant answer: less is no pairing


def judge(readings: Readings) -> list[Finding]:
    given = readings.last("lag.gain", "given")
    others = [r for r in readings.of("lag.gain") if r.place != "given" and r.low is not None]
    if given is None or not others or (given.low or 0.0) > 0:
        return []
    best = max(others, key=lambda r: r.low or 0.0)
    if best.low is None or best.low <= 0 or best.value < LEAST or best.low <= (given.value or 0.0):
        return []
    words = {"next": "of the batch after it", "before": "of the batch before it"}
    return [
        Finding(
            code=CODE,
            title=f"Targets belong to the inputs {words[best.place]}",
            severity="error",
            standing="verified",
            cause="label_corruption",
            why="Inputs and targets are a batch apart, so that there is nothing to learn from them as pairs.",
            step=0,
            evidence=(
                Evidence(f"{given.note} beyond a constant answer, pairs as they came", with_interval(given), "above 0"),
                Evidence(f"the same, with inputs {words[best.place]}", with_interval(best)),
            ),
            excluded=(
                Excluded("network, loss, rate", "the same training learns the shifted pairs"),
                Excluded("chance", "three standard errors over rows held out"),
            ),
            remedies=(Remedy("Take inputs and targets from one iterator, as pairs.", "manual"),),
        )
    ]

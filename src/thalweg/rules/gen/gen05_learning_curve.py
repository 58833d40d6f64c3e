"""# GEN05: learning curve in data size

## What it does
Where training rows are answered better than validation rows, tells whether more rows would help: plain learners are
fitted on a quarter, half and all of a sample of the training rows and scored on the same validation rows.

## Why it is bad
It is not bad in itself. Where the curve still rises, more rows (or augmentation) are worth more than another network;
where it is flat, they are not.

## Evidence used
- `curve.score` at a quarter, half and all of the rows; `curve.gain`, what the second half added, paired over the rows.
- `outcome.train_score` and `outcome.score` of the network.

## Known limits
It is the curve of plain learners: a large network may still gain where theirs is flat. At most 2,000 training rows are
used, so that of larger data the curve is told at its beginning, and only a rise is reported then.

## Remedies
- More rows, or augmentation that keeps the target (manual).

## References
Viering and Loog, "The Shape of Learning Curves" (IEEE TPAMI 2023); Hestness et al. (2017).
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.gen.outcome import gap
from thalweg.rules.outcome import bottom, lost, with_interval

CODE = "GEN05"
NAME = "learning curve in data size"
STAGE = "training"
NEEDS = ("curve.gain",)

WORTH = 0.01  # of the score: what doubling the rows must bring to be worth a word
MOST = 2000  # rows that the curve has at most


def judge(readings: Readings) -> list[Finding]:
    gain, whole = readings.last("curve.gain"), readings.last("curve.score", "1")
    assert gain is not None
    if lost(readings) or whole is None or not gap(readings):
        return []
    rises = bottom(gain) > 0 and gain.value >= WORTH
    flat = gain.high is not None and gain.high < WORTH and (whole.count or 0) < MOST
    if not rises and not flat:
        return []
    title = (
        f"More rows would help: the last doubling brought plain learners {100 * gain.value:.1f} points"
        if rises
        else f"More rows would hardly help: the last doubling brought plain learners {100 * gain.value:.1f} points"
    )
    return [
        Finding(
            code=CODE,
            title=title,
            severity="note",
            standing="verified",
            cause="few_rows",
            why="The network answers its training rows better than others; more rows narrow that from one side."
            if rises
            else "What is missing on validation rows is not for want of rows like these.",
            evidence=(
                *(
                    Evidence(f"{reading.count:,} rows", with_interval(reading))
                    for place in ("1/4", "1/2", "1")
                    if (reading := readings.last("curve.score", place)) is not None
                ),
                Evidence("from the last doubling, paired over the rows", with_interval(gain), "above 0"),
            ),
            remedies=(Remedy("Collect more rows, or augment those there are.", "manual"),) if rises else (),
        )
    ]

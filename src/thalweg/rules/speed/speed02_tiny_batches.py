"""# SPEED02: tiny batches

## What it does
Times a step of the plan on a clone with the plan's batch and with twice as many rows, several times in turn. Where the
larger batch takes hardly longer, the step is all overhead: starting kernels, running Python, updating parameters.

## Why it is bad
An epoch takes as many steps as there are batches. When the time of a step does not depend on its rows, an epoch of
batches twice as large takes half as long.

## Evidence used
- `speed.double`: time with twice the rows over time with the plan's rows, median and range of five rounds.
- `speed.whole`: the time of the whole training.

## Known limits
It is a note. A larger batch is another training: fewer and less noisy steps, which want a higher rate and may
generalize a little differently. It says nothing about how large a batch would serve learning best.

## Remedies
- Double the batch, and the rate with it (changes training).
- A compiled step (`compile="always"`) takes the overhead away and leaves the training as it is (safe).

## References
Goyal et al., "Accurate, Large Minibatch SGD" (2017): the rate grows with the batch; Shallue et al., "Measuring the
Effects of Data Parallelism on Neural Network Training" (JMLR 2019).
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings

CODE = "SPEED02"
NAME = "tiny batches"
STAGE = "training"
NEEDS = ("speed.double", "speed.whole")

FLAT = 1.25  # of the time for twice the rows: rows per second grow by 1.6 or more
WORTH = 30.0  # seconds that the training takes: of less there is little to save


def judge(readings: Readings) -> list[Finding]:
    double, whole = (readings.last(name) for name in NEEDS)
    assert double is not None
    assert whole is not None
    if double.high is None or double.high > FLAT or whole.value < WORTH:
        return []
    rows = double.count or 0
    gain = 2 / double.value
    return [
        Finding(
            code=CODE,
            title=f"Batches of {rows:,} rows are so small that a step is mostly overhead",
            severity="note",
            standing="verified",
            cause="slow",
            why="A step on twice the rows takes hardly longer: most of its time does not depend on the rows at all.",
            step=0,
            evidence=(
                Evidence(
                    f"time of a step on {2 * rows:,} rows, as a multiple",
                    f"{double.value:.2f} ({double.low or 0:.2f} to {double.high:.2f})",
                    f"{FLAT:g}, range below",
                ),
                Evidence("rows per second with twice the batch", f"{gain:.1f} times as many"),
                Evidence("the whole training took", f"{whole.value:.0f} s"),
            ),
            remedies=(
                Remedy("Compile the step, which takes overhead away.", "safe", {"compile": "always"}),
                Remedy("Double the batch, and the rate with it.", "changes training", {"batch_size": 2 * rows}),
            ),
        )
    ]

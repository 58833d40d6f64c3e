"""# SPEED01: waiting for data

## What it does
Compares how long a step waits for its batch with how long it then takes. Batches are read as the training reads them,
with a step after each, so that what worker processes read ahead counts as it does there.

## Why it is bad
While the step waits nothing is computed: the processor or the GPU that costs the most stands still.

## Evidence used
- `speed.wait` and `speed.step`: medians over a few batches, by the clock on the wall.
- `speed.whole`: the time of the whole training, of which the waiting would be saved.

## Known limits
It is a note: nothing is learned worse. On a machine that others use too both times vary. The first batch, for which
workers are started, is left out. Rows that lie in memory are never waited for and not judged.

## Remedies
- More workers that read ahead (`workers=`), at most one per core (safe).
- Decode and resize once, and store the result as an array (manual).

## References
PyTorch, "Performance Tuning Guide": asynchronous data loading; Mohan et al., "Analyzing and Mitigating Data Stalls in
DNN Training" (VLDB 2021).
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number

CODE = "SPEED01"
NAME = "waiting for data"
STAGE = "training"
NEEDS = ("speed.wait", "speed.step", "speed.whole")

STARVED = 0.3  # of a step's time spent waiting: without it the training would be 1.4 times as fast (Amdahl)
WORTH = 5.0  # seconds: less is not worth a change


def judge(readings: Readings) -> list[Finding]:
    wait, step, whole = (readings.last(name) for name in NEEDS)
    assert wait is not None
    assert step is not None
    assert whole is not None
    share = wait.value / max(wait.value + step.value, 1e-12)
    saved = share * whole.value
    if share < STARVED or saved < WORTH:
        return []
    return [
        Finding(
            code=CODE,
            title=f"{100 * share:.0f} % of the time of a step goes by waiting for its batch",
            severity="note",
            standing="verified",
            cause="slow",
            why="The rows are read more slowly than the network learns from them.",
            step=0,
            evidence=(
                Evidence("seconds until a batch is there, median", number(wait.value)),
                Evidence("seconds of the step on it, median", number(step.value)),
                Evidence("share of waiting", f"{100 * share:.0f} %", f"{100 * STARVED:.0f} %"),
                Evidence("of this training that is about", f"{saved:.0f} s"),
                *((Evidence("read by", wait.note),) if wait.note else ()),
            ),
            remedies=(
                Remedy("Read ahead in more worker processes, at most one per core.", "safe"),
                Remedy("Decode and resize once, and store the result as an array.", "manual"),
            ),
        )
    ]

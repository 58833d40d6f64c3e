"""# DATA08: inputs that are not finite

## What it does
Looks for NaN and infinite numbers in the inputs as they enter the network, after all preprocessing.

## Why it is bad
One NaN makes the outputs of its row NaN, the loss of the batch, then the gradient of every weight: after one step the
network is lost.

## Evidence used
- `input.nonfinite`: the share of rows that have such values, of up to 1,024 rows. It is a proof.
- `loss.initial`: where it is not finite either, the first step that meets such a row loses the weights: an error. A
  network that masks or replaces the values has a finite loss: a note.

## Known limits
Arrays, tensors and tables are looked at whole when the experiment is made, and refused with the rows that are named;
this rule sees what a Dataset, a loader or a preprocessing gives, in a sample.

## Remedies
- Leave these rows out, or replace the values, with a column that marks them (manual).

## References
Goldberg, "What Every Computer Scientist Should Know About Floating-Point Arithmetic" (1991).
"""

import math

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number

CODE = "DATA08"
NAME = "inputs that are not finite"
STAGE = "check"
NEEDS = ("target.distinct",)


def judge(readings: Readings) -> list[Finding]:
    found = [r for r in readings.of("input.nonfinite") if r.value > 0]
    if not found:
        return []
    initial = readings.value("loss.initial")
    lost = initial is not None and not math.isfinite(initial)
    worst = max(found, key=lambda r: r.value)
    return [
        Finding(
            code=CODE,
            title=f"{100 * worst.value:.2g} % of the rows have inputs that are NaN or infinite",
            severity="error" if lost else "note",
            standing="proven",
            cause="non_finite",
            why="One NaN makes the loss NaN, and the first step all weights."
            if lost
            else "The loss is finite all the same: the network leaves these values out.",
            place=worst.place,
            evidence=(
                *(Evidence(f"rows with such values{f' in {r.place}' * bool(r.place)}", number(r.value)) for r in found),
                *(() if initial is None else (Evidence("loss at the start", number(initial), "a finite number"),)),
            ),
            remedies=(Remedy("Leave these rows out, or replace the values.", "manual"),),
        )
    ]

"""# LOOP08: the rate vanishes early

## What it does
Follows the learning rate of the loop, and finds one that fell below a hundredth of its highest value in the first half
of the steps and stayed there.

## Why it is bad
The rest of the training does hardly anything. Usual reason: a schedule meant for epochs is stepped in every batch.

## Evidence used
- `loop.low_rate`: the step from which the rate stayed low; `loop.peak_rate`, `loop.last_rate`.
- The twin of the loop, which keeps the highest rate: harm is what it reaches beyond the last weights.

## Known limits
A training that was done by then is not harmed, and gets a note. The loop's rate is seen at watched steps.

## Remedies
- Call `scheduler.step()` once per epoch, or choose the schedule by the number of steps (changes training).

## References
PyTorch documentation of torch.optim.lr_scheduler; lecture row L36.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.loop.repaired import EARLY, excluded, lines, repaired
from thalweg.rules.trial import number

CODE = "LOOP08"
NAME = "the rate vanishes early"
STAGE = "training"
NEEDS = ("loop.low_rate", "loop.peak_rate", "loop.last_rate")


def judge(readings: Readings) -> list[Finding]:
    low, peak, last = (readings.last(f"loop.{name}") for name in ("low_rate", "peak_rate", "last_rate"))
    assert low is not None
    assert peak is not None
    assert last is not None
    if low.value > EARLY:
        return []
    twin = repaired(readings)
    harmed = twin is not None and twin.harmed
    return [
        Finding(
            code=CODE,
            title=f"The learning rate has vanished by step {low.step or 0:,}: {number(last.value)} of "
            f"{number(peak.value)}",
            severity="error" if harmed else "note",
            standing="verified" if harmed else "proven",
            cause="lr_too_low",
            why="The schedule is over long before the training is; it is probably stepped in every batch.",
            step=low.step,
            evidence=(
                Evidence("highest rate", number(peak.value)),
                Evidence("last rate", number(last.value), "a hundredth of it"),
                Evidence("share of the steps before it was so low", f"{100 * low.value:.0f} %", f"{100 * EARLY:g} %"),
                *lines(twin, "at the highest rate"),
            ),
            excluded=excluded(twin),
            remedies=(
                Remedy("Step the schedule once per epoch, or choose it by the number of steps.", "changes training"),
            ),
        )
    ]

"""# LOOP01: gradients not cleared

## What it does
Looks, in a loop of the user's own, whether the gradient of the step before is still there when `backward` adds the next
one to it.

## Why it is bad
`backward` adds. Without `zero_grad()` a step goes along the sum of all gradients so far, those of long ago included:
a momentum that never forgets. The loss falls at first, swings, and often rises without bound, like a rate that is much
too high.

## Evidence used
- `loop.stale`: the share of watched steps at which the gradient that the optimizer has just used was found, bit by
  bit, when `backward` began, and was not cleared afterwards.
- The twin of the loop, that clears them, where one could be trained.

## Known limits
Several `backward` calls before one step are accumulation and not meant. Gradients of a few parameters are compared,
not of all.

## Remedies
- `optimizer.zero_grad()` before each `backward`, or after each step (manual).

## References
PyTorch documentation of torch.optim.Optimizer.zero_grad; Jiang et al., TrainCheck (OSDI 2025), stackoverflow-60335387.
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.loop.repaired import MOST, excluded, lines, repaired
from thalweg.rules.trial import number

CODE = "LOOP01"
NAME = "gradients not cleared"
STAGE = "training"
NEEDS = ("loop.stale",)

LEAST = 2  # steps: one alone may be a loop that begins oddly


def judge(readings: Readings) -> list[Finding]:
    found = readings.last("loop.stale")
    assert found is not None
    count = found.count or 0
    if found.value * count < LEAST:
        return []
    always = found.value > MOST
    twin = repaired(readings)
    return [
        Finding(
            code=CODE,
            title=f"Gradients are not cleared: that of the step before was still there in {100 * found.value:.0f} % "
            "of the steps watched",
            severity="error" if always else "note",
            standing="proven",
            cause="gradient_accumulated",
            why="backward() adds to the gradient; each step goes along the sum of all gradients since they were last "
            "cleared.",
            step=found.step,
            evidence=(
                Evidence(
                    "steps that began with the gradient of the step before",
                    f"{number(found.value * count)} of {count}",
                    "1",
                ),
                *lines(twin, "with cleared gradients"),
            ),
            excluded=(
                Excluded("accumulation over batches", "the gradient left over is that of a step already taken"),
                *excluded(twin),
            ),
            remedies=(Remedy("Call optimizer.zero_grad() before each backward(), or after each step.", "manual"),),
        )
    ]

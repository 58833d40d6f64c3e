"""# LOOP06: no parameter moves

## What it does
Compares all parameters that the optimizer has with their values before the first step, bit by bit, and looks whether
they had a gradient when the optimizer stepped.

## Why it is bad
There is no training: the optimizer steps without gradients (`zero_grad()` and `step()` before `backward()`, or
gradients cleared between them), at a rate of 0, or by less than the numbers can tell.

## Evidence used
- `loop.unmoved`: share of the optimizer's parameters that did not change.
- `loop.ungraded`: share of watched steps at which none had a gradient other than 0.
- `loop.peak_rate`: the highest rate seen.

## Known limits
It takes a few steps before it judges; a rate that warms up from 0 is not meant.

## Remedies
- The order `zero_grad()`, forward, `backward()`, `step()` (manual).
- A rate above 0 (changes training).

## References
PyTorch documentation of torch.optim, "Taking an optimization step".
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number

CODE = "LOOP06"
NAME = "no parameter moves"
STAGE = "training"
NEEDS = ("loop.unmoved", "loop.ungraded")

ALMOST_ALL = 0.9  # of the steps
LEAST, LEAST_MOVED = 3, 10  # steps: without gradient, and with one


def judge(readings: Readings) -> list[Finding]:
    still, without = readings.last("loop.unmoved"), readings.last("loop.ungraded")
    assert still is not None
    assert without is not None
    steps, rate = still.count or 0, readings.value("loop.peak_rate")
    ungraded = without.value >= ALMOST_ALL
    if still.value < 1 or steps < (LEAST if ungraded else LEAST_MOVED):
        return []
    why = "Parameters have no gradient when the optimizer steps: backward() comes after step(), or is undone before it."
    if not ungraded:
        why = "The rate is 0." if rate == 0 else "Updates are too small to change the numbers in their data type."
    return [
        Finding(
            code=CODE,
            title=f"No parameter has moved in {steps:,} steps",
            severity="error",
            standing="proven",
            cause="parameters_not_trained" if ungraded or rate != 0 else "lr_too_low",
            why=why,
            step=0,
            evidence=(
                Evidence("parameters with the values of the start, bit by bit", "all"),
                Evidence("watched steps without any gradient", f"{100 * without.value:.0f} % of {without.count}"),
                *((Evidence("highest rate", number(rate)),) if rate is not None else ()),
            ),
            remedies=(
                Remedy("Keep the order zero_grad(), forward, backward(), step().", "manual")
                if ungraded
                else Remedy("Set a rate above 0, large enough for the data type.", "changes training"),
            ),
        )
    ]

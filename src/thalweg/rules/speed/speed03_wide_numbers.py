"""# SPEED03: numbers wider than needed

## What it does
Reports a network or inputs in float64.

## Why it is bad
Numbers of 64 bits take twice the memory and its traffic, at least twice the time on a CPU, and up to 64 times on a GPU
made for 32 bits. The noise of a mini-batch is larger than the rounding of float32 by many orders of magnitude.

## Evidence used
- `speed.wide`: the share of the floating point numbers that are float64, of parameters and of inputs.

## Known limits
It is a note: solving differential equations, some physics and tests of gradients need float64 on purpose.

## Remedies
- `model.float()` and `x.float()`; NumPy makes float64 unless told otherwise (changes training).

## References
Micikevicius et al., "Mixed Precision Training" (ICLR 2018): what of 32 bits a training needs; Gupta et al., "Deep
Learning with Limited Numerical Precision" (ICML 2015).
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings

CODE = "SPEED03"
NAME = "numbers wider than needed"
STAGE = "check"
NEEDS = ("speed.wide",)

SHARE = 0.5  # a single wide buffer or column costs nothing


def judge(readings: Readings) -> list[Finding]:
    wide = [r for place in readings.places("speed.wide") if (r := readings.last("speed.wide", place)) is not None]
    wide = [r for r in wide if r.value >= SHARE]
    if not wide:
        return []
    names = " and ".join(r.place for r in wide)
    return [
        Finding(
            code=CODE,
            title=f"The {names} are float64",
            severity="note",
            standing="proven",
            cause="slow",
            why="They take twice the memory and at least twice the time of float32, whose rounding is far below the "
            "noise of a mini-batch.",
            evidence=tuple(
                Evidence(f"{r.place} in float64", f"{100 * r.value:.0f} % of {r.count or 0:,}") for r in wide
            ),
            remedies=(Remedy("Convert once: model.float(), x.float().", "changes training"),),
        )
    ]

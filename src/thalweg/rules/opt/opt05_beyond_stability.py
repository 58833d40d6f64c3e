"""# OPT05: steps longer than the curvature bears

## What it does
Notes a training whose last steps were at least twice as long as the largest curvature of its loss lets steps be without
growing along it.

## Why it is bad
Along a direction of curvature c a step of gradient descent at rate η multiplies the distance to the minimum by 1 - ηc.
Above c = 2/η it grows with every step, to alternating sides, until the loss bends: the weights are thrown about, and
what is learned along other directions is covered by it.

## Evidence used
- `curvature.sharpness`: the largest eigenvalue of the Hessian of the training loss over up to 512 fixed rows, at the
  last weights (and at the start), by Lanczos' method with products of the Hessian, in evaluation mode; its interval
  over four blocks of the rows. Of Adam and RMSprop the Hessian is scaled by what they divide gradients by.
- `curvature.limit`: the curvature at which steps of the optimizer stop shrinking, 2/η for gradient descent, 2(1 + β)/η
  with momentum, 38/η for Adam with β₁ = 0.9, at the rate of the last step.

## Known limits
It is a note and never an alarm: trainings with whole batches hover at the limit and are healthy, and only a twin at a
lower rate shows what the rate costs (LR01, whose evidence has the same numbers). Where the gradient is clipped in most
steps, and with batch norm, whose statistics move with the weights, the limit says little and is not judged. Of Adam and
RMSprop the averages of squares must reach back fifty steps or more, as they do by default.

## Remedies
- A lower rate, or a warm-up that lets the curvature fall first (changes training).

## References
Cohen et al. 2021, "Gradient descent on neural networks typically occurs at the edge of stability"; Cohen et al. 2022,
"Adaptive gradient methods at the edge of stability".
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.outcome import bottom, evidence, lost
from thalweg.rules.trial import number

CODE = "OPT05"
NAME = "steps longer than the curvature bears"
STAGE = "training"
NEEDS = ("curvature.sharpness", "curvature.limit")

BEYOND = 2.0  # times the limit: whole-batch trainings hover at 1 to 1.2 (Cohen et al. 2021, figures 1 and 5)
MOSTLY = 0.5  # of the steps clipped: the rate no longer says how long they are


def judge(readings: Readings) -> list[Finding]:
    sharp, limit = readings.last("curvature.sharpness"), readings.last("curvature.limit")
    assert sharp is not None
    assert limit is not None
    clipped = readings.value("clipping.share") or 0.0
    if lost(readings) or sharp.step is None or limit.note or clipped >= MOSTLY:
        return []
    if bottom(sharp) < BEYOND * limit.value:
        return []
    times = sharp.value / limit.value
    return [
        Finding(
            code=CODE,
            title=f"The last steps were {times:.1f} times as long as the curvature of the loss bears",
            severity="note",
            standing="verified",
            cause="lr_too_high",
            why="Along the direction of the largest curvature such steps grow instead of shrinking.",
            evidence=(
                *evidence("largest curvature of the loss at the end", sharp, f"{number(limit.value)} for stable steps"),
                *of_start(readings),
            ),
            step=sharp.step,
            remedies=(Remedy("Train at a lower rate, or warm it up.", "changes training"),),
        )
    ]


def of_start(readings: Readings) -> tuple[Evidence, ...]:
    """The same of the start, where it was measured."""
    sharp, limit = (first(readings, name) for name in ("curvature.sharpness", "curvature.limit"))
    if sharp is None or limit is None:
        return ()
    return evidence("the same at the start", sharp, f"{number(limit.value)} for stable first steps")


def first(readings: Readings, name: str) -> Reading | None:
    """The reading of the start."""
    return next((reading for reading in readings.of(name) if reading.step is None), None)

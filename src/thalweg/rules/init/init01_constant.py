"""# INIT01: units that start equal

## What it does
Finds layers whose units have equal incoming weights at the start and equal gradients on every batch of the first steps.

## Why it is bad
Units with equal weights compute the same, and with equal gradients they stay equal for ever: a layer of 64 such units
is a layer of one.

## Evidence used
- `units.distinct`: number of different units among `count`, at the start; the gradients of equal units are compared on
  several batches while plain gradient descent moves the weights. The names of initializers play no part.
- Equal weights alone are no fault: the last layer of zeros gets a gradient of its own for each class; a branch scaled
  by zero wakes after a step; a constant layer read by different weights drifts apart. All of these pass.

## Known limits
Linear and convolution layers and the first weights of recurrent ones are looked at. Dropout between the layers tells
equal units apart, and then nothing is reported. Weights of the user's own layers are not looked at.

## Remedies
- Draw the weights at random: He for ReLU, Xavier for tanh and sigmoid (changes training).

## References
Lecture row L08; Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 8.4: breaking symmetry.
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Reading, Readings

CODE = "INIT01"
NAME = "constant start"
STAGE = "check"
NEEDS = ("parameter.trainable",)

HALF = 0.5  # of the units: a layer that lost half of its width is harmed, a pair of twins in a wide layer is not


def judge(readings: Readings) -> list[Finding]:
    equal = [
        r for r in readings.of("units.distinct") if r.count and r.value < r.count * HALF + 0.5 and r.value < r.count
    ]
    if not equal:
        return []
    names = ", ".join(map(named, equal[:4])) + (f" and {len(equal) - 4} more" if len(equal) > 4 else "")
    lost = sum((r.count or 0) - int(r.value) for r in equal)
    return [
        Finding(
            code=CODE,
            title=f"Units start equal and stay equal in {names}",
            severity="error",
            standing="proven",
            cause="init_constant",
            why="Equal units compute the same and get the same gradient: they never differ, and the layer is no wider "
            "than its different units.",
            place=equal[0].place,
            evidence=(
                *(Evidence(f"different units in {named(r)}", f"{r.value:.0f} / {r.count}") for r in equal),
                Evidence("units that add nothing", str(lost)),
            ),
            excluded=(
                Excluded("a last layer of zeros", "the gradients of its units are equal too, on every batch"),
                Excluded("a branch that wakes later", "compared again after each of the first steps"),
            ),
            remedies=(
                Remedy("Draw the weights at random: He for ReLU, Xavier for tanh and sigmoid.", "changes training"),
            ),
        )
    ]


def named(reading: Reading) -> str:
    return f"layer {reading.place}" if reading.place else "the network"

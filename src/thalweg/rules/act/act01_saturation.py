"""# ACT01: saturated activations

## What it does
Finds activations more than half of whose inputs lie at their flat ends, over at least a thousand rows, at the start or
with the weights that the training ended with, and says what brought them there.

## Why it is bad
Where the slope is under a hundredth of its maximum hardly any gradient passes: the weights below learn a hundred times
slower, and the differences between large inputs are lost.

## Evidence used
- `units.saturated`: the share of inputs z with |φ'(z)| under 1 % of its maximum, per activation that has flat ends
  (sigmoid, tanh, SELU, GELU and the like), in evaluation mode. An activation that makes the network's output is left
  out: there it is confidence.
- The origin: inputs of a large scale where the first activation is saturated at the start, else the initial weights;
  what saturates later was driven there by the updates.
- Harm is shown by a twin: the same training with weights rescaled so that each layer's outputs have deviation 1 at the
  start. It is an alarm when the training reaches less than 0.8 of what the twin does beyond a constant answer, on
  validation rows, beyond two standard errors, and when another order of the rows does not explain it.

## Known limits
Without the twin it is a note: gates are often saturated on purpose, and a trained network may be sure of what it
computes. The gates inside of torch's recurrent layers are not seen. Saturation that only comes with training is a note.

## Remedies
- Standardize the inputs, and draw the weights by Xavier (changes training).
- A normalization before the activation (manual).

## References
Lecture row L05; Glorot and Bengio (AISTATS 2010); LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998).
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.harm import harm
from thalweg.rules.signal import RESCALE, SATURATED, saturated

CODE = "ACT01"
NAME = "saturation"
STAGE = "check"
NEEDS = ("units.saturated",)

LARGE = 10.0  # an input scale a decade from 1
MOST_LAYERS = 5  # whose shares are shown


def judge(readings: Readings) -> list[Finding]:
    start, end = saturated(readings, start=True), saturated(readings, start=False)
    if start:
        return [finding(start, readings, start=True)]
    return [finding(end, readings, start=False)] if end else []


def finding(found: list[Reading], readings: Readings, *, start: bool) -> Finding:
    worst = max(found, key=lambda r: r.value)
    twin = harm(readings, RESCALE) if start else None
    harmed = twin is not None and twin.harmed
    when = "at the start" if start else "at the end"
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return Finding(
        code=CODE,
        title=f"{100 * worst.value:.0f} % of what enters {worst.place} ({worst.note}) lies at flat ends {when}{more}",
        severity="warning" if harmed else "note",
        standing="verified" if harmed else "proven",
        cause="saturation",
        why="Where the slope is under a hundredth of its maximum hardly any gradient passes. "
        + origin(found, readings),
        place=worst.place,
        step=worst.step,
        evidence=(
            *(
                Evidence(
                    f"{r.place}: inputs with a slope under 1 % of the maximum", share(r), f"{100 * SATURATED:.0f} %"
                )
                for r in found[:MOST_LAYERS]
            ),
            *(before(worst, readings) if not start else ()),
            *(twin.evidence("rescaled initial weights") if twin else ()),
        ),
        excluded=twin.excluded if twin and harmed else (),
        remedies=(
            Remedy("Standardize the inputs, and draw the weights by Xavier.", "changes training"),
            Remedy("Put a normalization before the activation.", "manual"),
        ),
        remedied=twin.remedied if twin and harmed else None,
    )


def share(reading: Reading) -> str:
    return f"{100 * reading.value:.0f} % over {reading.count:,} rows"


def before(worst: Reading, readings: Readings) -> tuple[Evidence, ...]:
    """What it was at the start."""
    start = next((r for r in readings.of("units.saturated", worst.place) if r.step is None), None)
    return () if start is None else (Evidence(f"{worst.place}: the same at the start", share(start)),)


def origin(found: list[Reading], readings: Readings) -> str:
    """What brought them there, in one sentence."""
    if found[0].step is not None:
        return "The updates drove them there: they were not saturated at the start."
    places = readings.places("units.saturated")
    scale = next((r for r in readings.of("input.rms") if r.value > LARGE), None)
    if scale is not None and places and found[0].place == places[0]:
        return f"The inputs have root mean square {scale.value:.3g}."
    return "The initial weights are too large for what enters their layers."

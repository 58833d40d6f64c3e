"""# LOSS01: loss at the start

## What it does
Compares the loss before the first step with what an undecided network would have: outputs of zero, which for a
cross-entropy over K classes is ln K. It finds starts that are far above it, and starts that are not finite.

## Why it is bad
A network that begins far above the undecided answer is sure and wrong. The first part of the training is spent on
unlearning, gradients are as large as the error, and rates that would be right later diverge now.

## Evidence used
- `loss.initial`: mean loss per sample in training mode, before any update, with a 95 % interval over samples.
- `loss.uniform`: the loss of outputs of zero; `loss.constant`: of the best constant answer (the entropy of the label
  prior, the variance of the target); `loss.floor`: the lowest loss any answer of this head reaches.
- Suspicious is a start whose interval lies above the undecided answer by more than all there is to learn
  (uniform - floor): a random network with outputs of unit variance lies about half a unit above ln K.
- Harm is probed: the same short training with inputs standardized, or with every layer's weights divided by the
  deviation of its outputs; same order, same noise, several seeds. The cause is the one whose remedy helps.

## Known limits
A loss without comparable outputs (several outputs, a contrastive loss) is only checked for being finite. A pretrained
network is judged like any other: its start is below, not above. Probes are short: harm that shows late is not seen.
Where the whole training with rescaled weights was no better afterwards, it becomes a note.

## Remedies
- Standardize the inputs (safe): `Plan(preprocessing="standardize")`.
- Scale the initial weights: Xavier or He initialization, a last layer ten times smaller (changes training).
- For a start that is not finite: look at the layer named, and at the inputs it gets (manual).

## References
Lecture row L35; Karpathy, "A Recipe for Training Neural Networks" (2019), verify loss at init; Glorot and Bengio,
"Understanding the difficulty of training deep feedforward neural networks" (AISTATS 2010); Mishkin and Matas, "All you
need is a good init" (ICLR 2016).
"""

import math

from thalweg.findings import Cause, Evidence, Excluded, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.harm import Harm, harm
from thalweg.rules.trial import Trial, number, trial

CODE = "LOSS01"
NAME = "initial loss"
STAGE = "check"
NEEDS = ("loss.initial",)

TWIN = "rescale"  # the whole training with rescaled weights, where it was made afterwards
INPUTS = "standardize_inputs"  # the same with standardized inputs
EXPLODED = 1e4  # growth of the spread between two layers before the numbers end: four decades are no rounding
STANDARDIZE = Remedy("Standardize the inputs on the training rows.", "safe", {"preprocessing": "standardize"})
RESCALE = Remedy(
    "Scale the initial weights so that each layer's outputs have deviation 1 (Xavier or He), the last layer's less.",
    "changes training",
)


def far_above(readings: Readings) -> bool:
    """Whether the start lies above an undecided answer by more than all there is to learn."""
    initial, uniform, floor = (readings.last(f"loss.{name}") for name in ("initial", "uniform", "floor"))
    if initial is None or uniform is None or floor is None or initial.low is None:
        return False
    constant = readings.value("loss.constant")
    room = max(uniform.value, uniform.value if constant is None else constant) - floor.value
    return room > 0 and initial.low - uniform.value > room


def judge(readings: Readings) -> list[Finding]:
    initial = readings.last("loss.initial")
    assert initial is not None
    if not math.isfinite(initial.value):
        return [not_finite(readings, initial)]
    if not far_above(readings):
        return []
    trials: list[tuple[Cause, str, Remedy, Trial | None]] = [
        ("input_scale", "standardized inputs", STANDARDIZE, trial(readings, INPUTS)),
        ("init_scale", "rescaled initial weights", RESCALE, trial(readings, "rescale_weights")),
    ]
    twins = {"init_scale": harm(readings, TWIN), "input_scale": harm(readings, INPUTS)}
    for cause, remedy, change, found in trials:
        if found is not None and found.decisive:
            return [far(readings, initial, cause, remedy, change, found, twins[cause])]
    cause = "input_scale" if any(r.value > 10 for r in readings.of("input.rms")) else "init_scale"
    return [far(readings, initial, cause, "", STANDARDIZE if cause == "input_scale" else RESCALE, None)]


def far(
    readings: Readings,
    initial: Reading,
    cause: Cause,
    remedy: str,
    change: Remedy,
    found: Trial | None,
    twin: Harm | None = None,
) -> Finding:
    uniform = readings.value("loss.uniform") or 0.0
    evidence = (
        Evidence("loss at the start", interval(initial), f"{number(uniform)} when undecided"),
        Evidence("loss of the best constant answer", number(readings.value("loss.constant") or math.nan)),
        *(found.evidence(remedy) if found else ()),
        *(twin.evidence(remedy) if twin else ()),
    )
    harmless = twin is not None and twin.harmless  # the whole training has made up for its start
    return Finding(
        code=CODE,
        title=f"Loss at the start is {number(initial.value)}, an undecided network has {number(uniform)}",
        severity="note" if harmless else "warning",
        standing="verified" if found else "suspicion",
        cause=cause,
        why="The outputs are large and wrong before anything was learned, so that the first steps go into unlearning, "
        "with gradients as large as the error.",
        evidence=evidence,
        excluded=(Excluded("chance", "the 95 % interval over samples lies above"),),
        remedies=(change,),
    )


def interval(reading: Reading) -> str:
    return f"{number(reading.value)} ({number(reading.low or 0.0)} to {number(reading.high or 0.0)})"


def not_finite(readings: Readings, initial: Reading) -> Finding:
    """The loss is NaN or infinite before any update; the layers say where the numbers ended."""
    flow = readings.of("flow.spread")
    bad = next((r for r in flow if not math.isfinite(r.value)), None)
    before = flow[: flow.index(bad)] if bad else flow
    grown = len(before) > 1 and before[-1].value > EXPLODED * max(before[0].value, 1e-30)
    evidence = [Evidence("loss at the start", str(initial.value))]
    evidence += [
        Evidence(f"spread over rows entering layer {r.place}", number(r.value)) for r in [*before[-2:], bad] if r
    ]
    return Finding(
        code=CODE,
        title=f"The loss is {initial.value} before the first step",
        severity="error",
        standing="proven",
        cause="exploding" if grown else "non_finite",
        why="No gradient can be taken from a number that is not finite: the first step destroys every weight."
        + (" The values grow from layer to layer until they leave the range of float32." if grown else ""),
        place=bad.place if bad else "",
        evidence=tuple(evidence),
        remedies=(
            Remedy(
                "Look at the layer named and what enters it: an exponential, a division, a logarithm of zero.", "manual"
            ),
        ),
    )

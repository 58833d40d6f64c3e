"""# ARCH01: linear layers with nothing between them

## What it does
Finds weight layers (linear, convolution) between which nothing is non-linear, computes the one layer they are, and
compares it with them on the activations that really reach them. It also tests whether the whole network is an affine
map of its inputs.

## Why it is bad
A linear map of a linear map is a linear map. Two such layers can learn nothing that one cannot, at more than the cost;
a network without any non-linearity can only draw straight borders.

## Evidence used
- `stack.error`: largest difference between the pair and the single layer W2 W1 (or, for convolutions, the error of
  superposition), relative to the spread of the outputs. Connections come from autograd's graph, in evaluation mode, so
  that dropout, views, averages and a batch norm between them do not hide a stack.
- `stack.saved`: share of the weights that one layer would save. Where it is negative the pair is a factorization (a
  bottleneck, a low-rank adapter, depthwise + pointwise), which is a reason to have two: not reported.
- `network.affine_error`: f((u+v)/2) against (f(u)+f(v))/2 at three scales of the inputs, before the last softmax or
  sigmoid.
- Harm is probed: the same network with ReLU between these layers, same order, several seeds, on rows held out.

## Known limits
A network that is linear on purpose is a note, unless the probe shows that it loses. Layers written as plain matrix
products are seen by the test of the whole network only; so are stacks behind indices (embeddings) by none.

## Remedies
- Put a ReLU between the layers (changes training).
- Or replace the two layers by one (safe).

## References
Lecture row L02; Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
neural networks" (ICLR 2014).
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number, trial

CODE = "ARCH01"
NAME = "linear stack"
STAGE = "check"
NEEDS = ("parameter.trainable",)

EXACT = 1e-3  # relative to the spread: float32 sums over thousands of terms differ by 1e-5; a ReLU differs by 1
NONLINEARITY = Remedy("Put a non-linearity between the layers: nn.ReLU().", "changes training")
MERGE = Remedy("Replace the layers by a single one of the same inputs and outputs.", "safe")


def pairs(readings: Readings) -> list[str]:
    """Places `"first → last"` of the pairs that one layer could replace with fewer weights."""
    exact = [r.place for r in readings.of("stack.error") if r.value < EXACT]
    return [place for place in exact if (readings.value("stack.saved", place) or 0.0) > 0]


def is_affine(readings: Readings) -> bool:
    """Whether the whole network is an affine map though it has several weight layers, none of them a factorization."""
    error = readings.last("network.affine_error")
    return error is not None and error.value < EXACT and (error.count or 0) > 1 and bool(pairs(readings))


def judge(readings: Readings) -> list[Finding]:
    found = pairs(readings)
    if is_affine(readings):
        return [whole(readings, found)]
    return [stack(readings, place) for place in found]


def stack(readings: Readings, place: str) -> Finding:
    error, saved = readings.value("stack.error", place), readings.value("stack.saved", place)
    assert error is not None
    assert saved is not None
    return Finding(
        code=CODE,
        title=f"Layers {place} are one linear layer",
        severity="note",
        standing="proven",
        cause="no_nonlinearity",
        why="Nothing non-linear lies between them: they can learn nothing that a single layer cannot.",
        place=place,
        evidence=(
            Evidence("difference from the single layer they collapse to", f"{error:.1e}", f"{EXACT:.0e} of the spread"),
            Evidence("weights saved by a single layer", f"{100 * saved:.0f} %"),
        ),
        excluded=(Excluded("factorization", "a single layer would have fewer weights"),),
        remedies=(NONLINEARITY, MERGE),
    )


def whole(readings: Readings, found: list[str]) -> Finding:
    error = readings.last("network.affine_error")
    assert error is not None
    probe = trial(readings, "insert_relu")
    harmful = probe is not None and probe.better
    return Finding(
        code=CODE,
        title=f"The network is linear: its {error.count} weight layers are one",
        severity="warning" if harmful or probe is None else "note",
        standing="verified" if harmful else "suspicion" if probe is None else "proven",
        cause="no_nonlinearity",
        why="Without a non-linearity the layers compose to a linear map, which can only draw straight borders.",
        place=", ".join(found),
        evidence=(
            Evidence("deviation from an affine map, three input scales", f"{error.value:.1e}", f"{EXACT:.0e}"),
            *(
                Evidence(f"layers {p}, against a single one", number(readings.value("stack.error", p) or 0.0))
                for p in found
            ),
            *(probe.evidence("ReLU between the layers") if probe else ()),
        ),
        excluded=(Excluded("factorization", "a single layer would have fewer weights"),),
        remedies=(NONLINEARITY, MERGE),
    )

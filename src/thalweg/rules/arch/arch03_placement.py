"""# ARCH03: where normalization and dropout stand

## What it does
Finds biases that a batch or instance norm right after them takes away again, and dropout in front of a batch norm.

## Why it is bad
A batch norm subtracts each channel's mean, so that a bias before it changes nothing: it is memory and time for numbers
that cannot learn. Dropout widens its outputs in training and not in evaluation, so that the variances a batch norm has
seen in training are not those of the rows it is asked about.

## Evidence used
- `bias.undone`: the relative change of the network's outputs, in training mode, when those biases are shifted by up to
  one; that it is rounding is the proof.
- `dropout.before_norm`: in autograd's graph the outputs of a dropout reach a batch norm with no weight layer between.

## Known limits
Both are notes: most networks train well all the same. Layer, group and RMS norms keep a part of a bias and are not
reported. Dropout that is called as a function is not seen.

## Remedies
- `bias=False` in the layer before a batch norm (safe).
- Move dropout behind the last batch norm (changes training).

## References
Ioffe and Szegedy, "Batch Normalization" (ICML 2015), section 3.2; Li et al., "Understanding the Disharmony between
Dropout and Batch Normalization by Variance Shift" (CVPR 2019).
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number

CODE = "ARCH03"
NAME = "placement of normalization and dropout"
STAGE = "check"
NEEDS = ("parameter.trainable",)

NOTHING = 1e-4  # relative change of the outputs: rounding of float32 through a dozen layers is below 1e-5


def judge(readings: Readings) -> list[Finding]:
    biases = [r for r in readings.of("bias.undone") if r.value < NOTHING]
    found = []
    if biases:
        total = sum(r.count or 0 for r in biases)
        more = f" and {len(biases) - 1} more" if len(biases) > 1 else ""
        found.append(
            Finding(
                code=CODE,
                title=f"The bias of {biases[0].place}{more} has no effect: a normalization follows",
                severity="note",
                standing="proven",
                cause="parameters_not_trained",
                why="The normalization subtracts each channel's mean, and the bias with it; it has a shift of its own.",
                place=biases[0].place,
                evidence=(
                    Evidence(
                        "change of the outputs with these biases shifted", number(biases[0].value), f"{NOTHING:g}"
                    ),
                    Evidence("numbers that cannot learn", f"{total:,}"),
                ),
                remedies=(Remedy("Write bias=False in these layers.", "safe"),),
            )
        )
    dropped = readings.of("dropout.before_norm")
    if dropped:
        found.append(
            Finding(
                code=CODE,
                title=f"Dropout {dropped[0].note} stands before the normalization {dropped[0].place}",
                severity="note",
                standing="proven",
                cause="train_eval_mode",
                why="Dropout widens values in training only, so that the variance known from training is not that of "
                "evaluation.",
                place=dropped[0].place,
                evidence=(Evidence("normalizations that a dropout feeds", str(len(dropped)), "0"),),
                remedies=(Remedy("Move dropout behind the last batch norm.", "changes training"),),
            )
        )
    return found

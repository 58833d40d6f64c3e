"""# INIT03: signal vanishes through depth

## What it does
Finds networks through which less than a thousandth of the differences between rows reaches the last layer, at the
start, and tells apart whether the scale of the initial weights or the activations between the layers are to blame.

## Why it is bad
What reaches the last layer is nearly the same for every row: it can only answer the same for all. The gradient that
comes back shrinks in the same way, so that the layers that could change it hardly move.

## Evidence used
- `flow.spread`: the root mean square difference between rows on entering each weight layer; `depth.forward` and
  `depth.backward`: the same of the layers' outputs and of the gradients, with the slope of the logarithm per layer and
  its 95 % interval.
- Harm is shown by twins of the training, same batches and plan: with weights rescaled so that each layer's outputs have
  deviation 1, and with ReLU for sigmoid, tanh and softmax between the layers besides. It is an alarm when the training
  reaches less than 0.8 of what a twin does beyond a constant answer, on validation rows, beyond two standard errors,
  and when another order of the rows does not explain it.
- If rescaled weights suffice the cause is their scale; if only other activations help, or do clearly more, it is they.
- Where less reaches the last layer than float32 keeps of a sum (2⁻²³ = 1.2e-7), the outputs are the same for all rows
  up to rounding. If the training then ends no better than a constant answer, on rows that plain learners answer beyond
  two standard errors, that is proof enough without a twin.

## Known limits
Before the training has ended it is a suspicion (FIT01 alarms earlier where a few rows are not learned); where no twin
is better it is a note. Only torch's linear, convolution and recurrent layers are looked at.

## Remedies
- He or Xavier initialization (changes training).
- ReLU, SELU or GELU for sigmoid between layers; a normalization or a residual connection every few layers (manual).

## References
Lecture row L10; Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks"
(AISTATS 2010); He et al. (ICCV 2015).
"""

from collections.abc import Iterable

from thalweg.findings import Cause, Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.fit.fit01_overfit import vanishes
from thalweg.rules.harm import Harm, harm
from thalweg.rules.outcome import evidence
from thalweg.rules.signal import LET_THROUGH, RESCALE, ends, slopes
from thalweg.rules.trial import number

EPSILON = 2.0**-23  # the relative precision of float32

CODE = "INIT03"
NAME = "vanishing signal"
STAGE = "check"
NEEDS = ("flow.spread",)

WORDS = {RESCALE: "rescaled initial weights", LET_THROUGH: "ReLU between the layers and rescaled weights"}
REMEDIES = {
    RESCALE: Remedy("Draw the weights by He or Xavier, or rescale them on data.", "changes training"),
    LET_THROUGH: Remedy(
        "Use ReLU, SELU or GELU between the layers, or a normalization or a residual connection every few layers.",
        "manual",
    ),
}


def judge(readings: Readings) -> list[Finding]:
    flow = readings.of("flow.spread")
    if not vanishes(readings) or not flow[-1].value > 0:
        return []  # nothing at all arrives: dead or equal units, which other rules tell
    tried = {name: found for name in (RESCALE, LET_THROUGH) if (found := harm(readings, name)) is not None}
    helps = next((name for name, found in tried.items() if found.harmed and not outdone(found, tried.values())), None)
    stuck = helps is None and flow[-1].value < EPSILON * flow[0].value and only_constant(readings)
    harmless = not stuck and bool(tried) and all(found.harmless for found in tried.values())
    cause: Cause = "init_scale" if helps == RESCALE else "vanishing"
    shown = {name: found for name, found in tried.items() if name == helps or harmless}
    return [
        Finding(
            code=CODE,
            title=f"The signal vanishes: {flow[-1].value / flow[0].value:.2g} of what differs between rows reaches "
            "the last layer",
            severity="note" if harmless else "warning",
            standing="verified" if helps else "proven" if harmless or stuck else "suspicion",
            cause=cause,
            why="The differences between rows shrink from layer to layer until the last one cannot tell rows apart, "
            "and the gradient shrinks on its way back.",
            place=flow[-1].place,
            evidence=(
                *ends(readings),
                *slopes(readings),
                *(reached(readings) if stuck else ()),
                *(line for name, found in shown.items() for line in found.evidence(WORDS[name])),
            ),
            excluded=excluded(tried, helps),
            remedies=tuple(REMEDIES.values()) if helps is None else (REMEDIES[helps],),
            remedied=tried[helps].remedied if helps is not None else None,
        )
    ]


def outdone(found: Harm, others: Iterable[Harm]) -> bool:
    """Whether the training with this remedy is still harmed: another one does clearly more."""
    return any(found.remedied.leaves(other.remedied) for other in others if other.harmed)


def only_constant(readings: Readings) -> bool:
    """Whether the training answers no better than a constant, and plain learners clearly better."""
    own, constant = readings.last("outcome.score"), readings.value("outcome.constant")
    kept, gain = readings.value("outcome.kept_score"), readings.last("reference.gain")
    if own is None or own.low is None or constant is None or gain is None or gain.low is None:
        return False
    # The interval of the kept weights, on the same rows, is as wide.
    return max(own.value, kept or own.value) - (own.value - own.low) <= constant and gain.low > 0


def reached(readings: Readings) -> tuple[Evidence, ...]:
    """Lines of evidence: the outcome, beside plain learners."""
    constant = number(readings.value("outcome.constant") or 0.0)
    return (
        *evidence("score on validation rows", readings.last("outcome.score"), f"a constant answer has {constant}"),
        *evidence("the same by plain learners", readings.last("reference.score")),
    )


def excluded(tried: dict[str, Harm], helps: str | None) -> tuple[Excluded, ...]:
    """Chance, and the scale of the weights where rescaling them did not help."""
    if helps is None:
        return ()
    found = tried[helps].excluded
    scale = tried.get(RESCALE)
    if helps == LET_THROUGH and scale is not None:
        found += (Excluded("init_scale", f"rescaled weights alone reach {number(scale.changed.value)}"),)
    return found

"""# LOOP03: parameters the optimizer does not have

## What it does
Finds parameters that require a gradient and get one, that the optimizer was not given, and that are the same bit by bit
when the loop ends as when it began.

## Why it is bad
They stay as they were drawn; what is behind them learns from random features. Usual reasons: only one part's
`parameters()` were handed over, or the optimizer was made before layers were replaced or moved.

## Evidence used
- `loop.missed`: their share of the squared norm of the gradient. To first order it is the share of every step's
  progress that is lost.
- `loop.held`: how many of the network's parameters the optimizer has at all; none is an error at once.
- The twin of the loop, whose optimizer has all parameters: harm is what it reaches beyond this one.

## Known limits
A pretrained part that is left out on purpose looks the same; unless the twin does much better it is a note. Saying
`requires_grad_(False)` of such a part silences it.

## Remedies
- Give the optimizer `model.parameters()`, after all layers are there (manual).

## References
PyTorch documentation of torch.optim, "Constructing it".
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.loop.repaired import MISSED, excluded, lines, repaired

CODE = "LOOP03"
NAME = "parameters the optimizer does not have"
STAGE = "training"
NEEDS = ("loop.held",)


def judge(readings: Readings) -> list[Finding]:
    missed, held = readings.last("loop.missed"), readings.last("loop.held")
    assert held is not None
    if missed is None or missed.value < MISSED:
        return []
    none = held.value == 0
    twin = repaired(readings)
    harmed = twin is not None and twin.harmed
    share = readings.value("loop.missed_share")
    return [
        Finding(
            code=CODE,
            title="The optimizer has none of the network's parameters"
            if none
            else f"{missed.count or 0:,} weights get a gradient, and no optimizer moves them: {missed.note}",
            severity="error" if none or harmed else "note",
            standing="proven" if none or not harmed else "verified",
            cause="parameters_not_trained",
            why="The optimizer was not given them: they stay as they were, and what follows them learns from that.",
            place="" if none else missed.place,
            step=0,
            evidence=(
                Evidence("their share of the squared gradient", f"{100 * missed.value:.0f} %", f"{100 * MISSED:g} %"),
                *((Evidence("their share of the weights", f"{100 * share:.0f} %"),) if share is not None else ()),
                Evidence("parameters of the network that the optimizer has", f"{held.value:.0f}"),
                *lines(twin, "that trains all parameters"),
            ),
            excluded=(
                Excluded("another optimizer", "their values are bit by bit those of the start"),
                Excluded("frozen on purpose", "requires_grad is True"),
                *excluded(twin),
            ),
            remedies=(
                Remedy("Give the optimizer model.parameters(), once all layers are made and in their place.", "manual"),
            ),
        )
    ]

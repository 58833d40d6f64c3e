"""# LOOP10: gradients clipped at the wrong place

## What it does
Looks, in a loop of the user's own, whether gradients are made smaller after the optimizer has stepped, and whether they
are cut while the factor of a gradient scaler is still in them.

## Why it is bad
What is clipped after the step is thrown away: the step itself was taken unclipped. Before `scaler.unscale_` gradients
are 65,536 times as large; a limit of 1 then leaves a 65,536th of it, and with SGD nothing moves.

## Evidence used
- `loop.late_change`: the share of watched steps at which gradients of the step before were found smaller than they
  were when it was made.
- `loop.clipped_scaled`: the norm at the step times the scaler's factor is the same number in every step, and a small
  part of what `backward` gave.
- The twin of the loop, without clipping: harm is what it reaches beyond the last weights.

## Known limits
Clipping after the step is a note: what a clipped training would have reached is not tried. Optimizers that divide by
the gradient's own size (Adam) hardly notice a common factor. Gradients that were set to zero in place are not compared.

## Remedies
- The order `backward()`, `scaler.unscale_(optimizer)`, `clip_grad_norm_`, `step()`, `zero_grad()` (manual).

## References
PyTorch documentation, "Automatic Mixed Precision examples", gradient clipping.
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.loop.repaired import MOST, excluded, lines, repaired
from thalweg.rules.trial import number

CODE = "LOOP10"
NAME = "gradients clipped at the wrong place"
STAGE = "training"
NEEDS = ("loop.steps",)

LEAST = 2  # steps


def judge(readings: Readings) -> list[Finding]:
    return [each for each in (scaled(readings), late(readings)) if each is not None]


def scaled(readings: Readings) -> Finding | None:
    limit = readings.last("loop.clipped_scaled")
    if limit is None:
        return None
    twin = repaired(readings)
    harmed = twin is not None and twin.harmed
    factor = float(limit.note)
    norm = number(limit.value / factor)
    return Finding(
        code=CODE,
        title=f"Gradients are clipped before they are unscaled: at the step their norm is {norm}",
        severity="error" if harmed else "note",
        standing="verified" if harmed else "proven",
        cause="lr_too_low",
        why=f"The loss was multiplied by {factor:,.0f}. The limit cuts the multiplied gradient, which is divided again "
        "afterwards: steps are that much too short.",
        step=0 if harmed else None,
        evidence=(
            Evidence("norm at the step times the scaler's factor", f"{number(limit.value)} in {limit.count} of them"),
            Evidence("the scaler's factor", f"{factor:,.0f}"),
            *lines(twin, "without clipping"),
        ),
        excluded=excluded(twin),
        remedies=(Remedy("Call scaler.unscale_(optimizer) before clip_grad_norm_.", "manual"),),
    )


def late(readings: Readings) -> Finding | None:
    found = readings.last("loop.late_change")
    if found is None or found.value <= MOST or found.value * (found.count or 0) < LEAST:
        return None
    return Finding(
        code=CODE,
        title="Gradients are made smaller after the optimizer has stepped",
        severity="note",
        standing="proven",
        cause="exploding",
        why="What is clipped after the step is thrown away; the step was taken with the gradient as it was.",
        evidence=(
            Evidence(
                "steps after which gradients were made smaller", f"{100 * found.value:.0f} % of {found.count}", "none"
            ),
            Evidence("mean factor", found.note),
        ),
        excluded=(Excluded("clearing", "the gradients were not 0 afterwards"),),
        remedies=(Remedy("Call clip_grad_norm_ between backward() and step().", "manual"),),
    )

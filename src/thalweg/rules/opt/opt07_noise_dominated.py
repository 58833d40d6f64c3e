"""# OPT07: noise-dominated gradients

## What it does
Looks for a training whose loss goes up and down at its end without falling, at a rate that has not fallen, while the
gradients of its batches are mostly noise. It lets the training go on while the rate falls to zero, and reports the
constant rate when the training stays below 0.8 of what it reaches then.

## Why it is bad
Each step follows the rows of its batch. Near a minimum the gradient of all rows is small and what differs between
batches is not: the weights wander about at a distance that grows with the rate, and more steps at it bring them no
nearer.

## Evidence used
- `noise.scale`, the batch size at which noise and gradient are of one size, tr Σ / |G|², from the gradients of up to 16
  batches at the last weights, with its interval; `noise.rows`, the rows of a step.
- `train.loss`: whether it stands, and goes up and down, over the last third of the epochs.
- `schedule.end`, the last rate by the highest one.
- `twin.settled`: the training from its last weights on while the rate falls to zero along half a cosine, for at most a
  fifth of its steps; beside it as many more steps at the same rate, which must not do as well.

## Known limits
At the end of every training that fits its rows the noise is far above the gradient: that alone is no fault, and nothing
is measured where the training reaches 0.8 of all there is beyond a constant answer. Without a twin, for want of time,
it is a suspicion, and only where plain learners answer the same rows better. Noise of dropout counts as noise of the
batches.

## Remedies
- A schedule that falls to zero, such as `WarmupCosine`, a lower rate, or larger batches (changes training).

## References
McCandlish et al. 2018, "An empirical model of large-batch training"; lecture row L27: schedules.
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.gen.outcome import surely_worse
from thalweg.rules.harm import Harm, by_heart, harm
from thalweg.rules.opt.course import bounces, stands
from thalweg.rules.outcome import bottom, evidence, lost
from thalweg.rules.trial import number
from thalweg.rules.twins import Twin

CODE = "OPT07"
NAME = "noise-dominated gradients"
STAGE = "training"
NEEDS = ("noise.scale", "noise.rows")

TWIN = "settled"
FAR = 5.0  # times the rows of a step: the noise is then more than twice as long as the gradient
FALLEN = 0.5  # of the peak: a rate below it has fallen already


def may_stand(readings: Readings) -> bool:
    """Whether the loss goes up and down at the end without falling, at a rate that has not fallen."""
    end = readings.value("schedule.end")
    standing = not lost(readings) and stands(readings) is True and bounces(readings)
    return standing and end is not None and end >= FALLEN


def asked(readings: Readings) -> bool:
    """Whether the noise is far above the gradient too, so that a falling rate is worth a twin."""
    scale, rows = readings.last("noise.scale"), readings.value("noise.rows")
    return may_stand(readings) and scale is not None and rows is not None and bottom(scale) > FAR * rows


def judge(readings: Readings) -> list[Finding]:
    if not asked(readings):
        return []
    found = harm(readings, TWIN)
    if found is None:
        return [finding(readings, None)] if surely_worse(readings) else []
    if by_heart(readings, found) or not better(found):
        return []
    return [finding(readings, found)]


def better(found: Harm) -> bool:
    """Whether the falling rate reaches more, beyond two standard errors, than the training and its control."""
    above = found.control is None or found.changed.value - found.control > found.half
    return found.beyond and above


def finding(readings: Readings, found: Harm | None) -> Finding:
    """A suspicion without a twin, an alarm where it shows harm, a note where it only does better."""
    tried = None if found is None else Twin(TWIN, found, readings.value(f"twin.{TWIN}.setting") or 0.0, None, TWIN)
    harmed = tried is not None and tried.harm.harmed
    gain = "" if tried is None else f": while the rate falls to zero it reaches {tried.reached} "
    gain += "" if tried is None else f"instead of {number(tried.harm.plain.value)}"
    return Finding(
        code=CODE,
        title=f"What is left of the loss is noise of the batches{gain}",
        severity="warning" if tried is None or harmed else "note",
        standing="suspicion" if tried is None else tried.standing if harmed else "verified",
        cause="lr_too_high",
        why="Batches differ by more than the gradient of all rows: at this rate the weights wander about the minimum.",
        step=(readings.of("noise.scale")[-1]).step,
        evidence=(*told(tried), *noise(readings)),
        excluded=() if tried is None else excluded(tried.harm),
        remedies=(
            Remedy("Let the rate fall to zero at the end: `tw.schedules.WarmupCosine()`.", "changes training"),
            Remedy("Train with larger batches, or at a lower rate.", "changes training"),
        ),
        remedied=tried.harm.remedied if tried is not None and harmed else None,
    )


def told(tried: Twin | None) -> tuple[Evidence, ...]:
    """The twin beside the training and its control."""
    if tried is None:
        return ()
    steps = f"{tried.setting:.0f} steps more"
    lines = tried.harm.evidence(f"{steps} at a falling rate")
    control = tried.harm.control
    return lines if control is None else (*lines, Evidence(f"{steps} at the same rate", number(control)))


def noise(readings: Readings) -> tuple[Evidence, ...]:
    """The noise scale beside the rows of a step."""
    rows = readings.value("noise.rows") or 0.0
    return (
        *evidence("rows at which noise and gradient are of one size", readings.last("noise.scale"), number(FAR * rows)),
        Evidence("rows of a step", number(rows)),
    )


def excluded(found: Harm) -> tuple[Excluded, ...]:
    """More steps alone, by the control; chance."""
    chance = Excluded("chance", "two standard errors of the validation rows")
    if found.control is None:
        return (chance,)
    reached = number(found.control)
    return (Excluded("too_few_epochs", f"as many steps more at the same rate reach {reached}"), chance)

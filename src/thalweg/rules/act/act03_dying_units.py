"""# ACT03: dying units

## What it does
Counts ReLU units that are exactly 0 for every one of at least a thousand distinct training rows, and says since when.

## Why it is bad
A unit that no row activates has a gradient of exactly zero, so that only weight decay can still move its weights: it is
lost. A layer that has lost all its units passes nothing on, and nothing below it is trained any more.

## Evidence used
- `units.dead`, over training rows in evaluation mode with the kept weights, with the number of rows;
  `units.alive`, how many of how many.
- `activation.dead` along the training, per batch: the step since which the units have been dead, and that it lasts.
- `fit.train_loss` against the best constant answer: whether the network has still learned its rows.

## Known limits
Zeros as such mean nothing: a healthy ReLU is 0 for most rows. A lost layer is an error. A lost part of a layer is a
note, because wide networks spare many units; half of a layer is a suspicion while the network has not learned its
training rows. Activations inside of compiled code are not seen.

## Remedies
- A lower rate or a clipped gradient keeps biases from being thrown far below zero (changes training).
- Leaky ReLU, GELU or SiLU have a slope on both sides; a normalization before the activation brings units back (manual).

## References
Lecture row L05; Lu et al., "Dying ReLU and initialization" (2020).
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy, Severity, Standing
from thalweg.readings import Reading, Readings
from thalweg.rules.outcome import removed

CODE = "ACT03"
NAME = "dying units"
STAGE = "training"
NEEDS = ("units.dead",)

ENOUGH = 1000  # distinct rows
SHARE = 0.1  # of a layer's units
MOST_LAYERS = 5  # whose counts are shown
MOST = 0.8  # of the units that are dead at the end
HALF = 0.5  # of a layer's units
LEARNED = 0.5  # of the learnable loss of the training rows


def judge(readings: Readings) -> list[Finding]:
    last = [readings.last("units.dead", place) for place in readings.places("units.dead")]
    rows = readings.value("data.train_rows")
    enough = ENOUGH if rows is None else min(ENOUGH, rows)
    dead = [r for r in last if r and (r.count or 0) >= enough and r.value >= SHARE and lasts(r, readings)]
    lost, partly = [r for r in dead if r.value == 1], [r for r in dead if r.value < 1]
    return [finding(group, readings) for group in (lost, partly) if group]


def lasts(dead: Reading, readings: Readings) -> bool:
    """Whether the units were dead in the last batches that were watched, too, where any were."""
    seen = readings.of("activation.dead", dead.place)[-3:]
    return all(r.value >= SHARE for r in seen)


def since(dead: Reading, readings: Readings) -> int | None:
    """The first watched step from which on most of what is dead at the end was inactive on every batch."""
    limit = 1.0 if dead.value == 1 else MOST * dead.value
    step = None
    for reading in reversed(readings.of("activation.dead", dead.place)):
        if reading.value < limit:
            break
        step = reading.step
    return step


def standing_of(dead: Reading, readings: Readings) -> tuple[Severity, Standing]:
    if dead.value == 1:
        return "error", "proven"
    reached = readings.value("fit.train_loss")
    share = None if reached is None else removed(readings, reached)
    harmed = dead.value >= HALF and share is not None and share < LEARNED
    return ("warning", "suspicion") if harmed else ("note", "proven")


def finding(dead: list[Reading], readings: Readings) -> Finding:
    """One finding for layers that are lost, or for layers that lost a part; it is placed at the worst one."""
    worst = max(dead, key=lambda r: r.value)
    severity, standing = standing_of(worst, readings)
    steps = [since(r, readings) for r in dead]
    step = min((s for s in steps if s is not None), default=None)
    whole = worst.value == 1
    share = "All" if whole else f"{100 * worst.value:.0f} % of the"
    others = f" and {len(dead) - 1} other layer{'s' * (len(dead) > 2)}" if len(dead) > 1 and whole else ""
    when = f" died at step {step:,}" if step else " are dead"
    more = f"; {len(dead) - 1} more with at least {100 * SHARE:.0f} %" if len(dead) > 1 and not whole else ""
    return Finding(
        code=CODE,
        title=f"{share} units in {worst.place}{others}{when}{more}",
        severity=severity,
        standing=standing,
        cause="dead_units",
        why="A ReLU that is negative for every row has a slope of exactly zero, so that no gradient brings it back."
        + (" Nothing passes this layer, and nothing below it is trained." if whole else ""),
        place=worst.place,
        step=step or 0,
        evidence=tuple(line for reading in dead[:MOST_LAYERS] for line in lines(reading, readings)),
        excluded=(Excluded("a rare feature", f"inactive on {worst.count:,} rows, not on one batch"),),
        remedies=(
            Remedy(
                "Clip the gradient's norm at 1, so that no step throws biases far below zero.",
                "changes training",
                {"clip_norm": 1.0},
            ),
            Remedy("Use a leaky ReLU, GELU or SiLU here, or normalize before the activation.", "manual"),
        ),
    )


def lines(dead: Reading, readings: Readings) -> list[Evidence]:
    """What was counted in one layer."""
    alive, course = readings.last("units.alive", dead.place), readings.of("activation.dead", dead.place)
    count = f"{100 * dead.value:.0f} %"
    if alive is not None and alive.count:
        count = f"{alive.count - alive.value:.0f} / {alive.count} units"
    found = [Evidence(f"{dead.place}: inactive on all of {dead.count:,} rows", count, f"{100 * SHARE:.0f} %")]
    if len(course) > 1:
        change = f"{100 * course[0].value:.0f} % → {100 * course[-1].value:.0f} %"
        found.append(Evidence(f"{dead.place}: dead on a batch, first and last", change))
    return found

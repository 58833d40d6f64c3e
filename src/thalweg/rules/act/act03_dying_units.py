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
- Where a part is lost and the score on validation rows leaves room, harm is shown by a twin: the same training, start
  and batches with leaky ReLU. It is an alarm when the training reaches less than 0.8 of what the twin does beyond a
  constant answer, beyond two standard errors, and when another order of the rows does not explain it. Not where the
  training rows are answered (`outcome.train_score`) as well as the twin answers validation rows: lost units keep a
  network from learning its rows.

## Known limits
Zeros as such mean nothing: a healthy ReLU is 0 for most rows. A lost layer is an error. A lost part of a layer is a
note, because wide networks spare many units, unless the twin shows harm; half of a layer is a suspicion while the
network has not learned its training rows. Activations inside of compiled code are not seen.

## Remedies
- A lower rate or a clipped gradient keeps biases from being thrown far below zero (changes training).
- Leaky ReLU, GELU or SiLU have a slope on both sides; a normalization before the activation brings units back (manual).

## References
Lecture row L05; Lu et al., "Dying ReLU and initialization" (2020).
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy, Severity, Standing
from thalweg.readings import Reading, Readings
from thalweg.rules.harm import Harm, by_heart, harm
from thalweg.rules.outcome import removed

CODE = "ACT03"
NAME = "dying units"
STAGE = "training"
NEEDS = ("units.dead",)
ALONG = True

ENOUGH = 1000  # distinct rows
SHARE = 0.1  # of a layer's units
MOST_LAYERS = 5  # whose counts are shown
MOST = 0.8  # of the units that are dead at the end
HALF = 0.5  # of a layer's units
LEARNED = 0.5  # of the learnable loss of the training rows
LEAKY = "leaky"  # the twin's name


def judge(readings: Readings) -> list[Finding]:
    dead = dead_layers(readings)
    lost, partly = [r for r in dead if r.value == 1], [r for r in dead if r.value < 1]
    return [finding(group, readings) for group in (lost, partly) if group]


def dead_layers(readings: Readings) -> list[Reading]:
    """The layers that have lost a tenth of their units or more, over enough rows, and not only at the end."""
    last = [readings.last("units.dead", place) for place in readings.places("units.dead")]
    rows = readings.value("data.train_rows")
    enough = ENOUGH if rows is None else min(ENOUGH, rows)
    return [r for r in last if r and (r.count or 0) >= enough and r.value >= SHARE and lasts(r, readings)]


def partly_dead(readings: Readings) -> list[Reading]:
    """The layers that have lost a part."""
    return [r for r in dead_layers(readings) if r.value < 1]


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
    twin = harm(readings, LEAKY)
    if twin is not None and harmed_by(readings, twin):
        return "warning", "verified"
    reached = readings.value("fit.train_loss")
    share = None if reached is None else removed(readings, reached)
    harmed = dead.value >= HALF and share is not None and share < LEARNED
    return ("warning", "suspicion") if harmed else ("note", "proven")


def harmed_by(readings: Readings, twin: Harm) -> bool:
    """Whether the twin shows harm, and the training rows were not learned all the same."""
    return twin.harmed and not by_heart(readings, twin)


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
    twin = None if whole else harm(readings, LEAKY)
    more = f"; {len(dead) - 1} more with at least {100 * SHARE:.0f} %" if len(dead) > 1 and not whole else ""
    return Finding(
        code=CODE,
        title=f"{share} units in {worst.place}{others}{when}{more}",
        severity=severity,
        standing=standing,
        cause="dead_units",
        why="A ReLU that is negative for every row has a slope of exactly zero, so that no gradient brings it back."
        + (" Nothing passes this layer, and nothing below it is trained." if whole else "")
        + origin(worst, step, readings),
        place=worst.place,
        step=step or 0,
        evidence=(
            *(line for reading in dead[:MOST_LAYERS] for line in lines(reading, readings)),
            *(twin.evidence("leaky ReLU") if twin else ()),
        ),
        excluded=(
            Excluded("a rare feature", f"inactive on {worst.count:,} rows, not on one batch"),
            *(twin.excluded if twin and harmed_by(readings, twin) else ()),
        ),
        remedies=(
            Remedy(
                "Clip the gradient's norm at 1, so that no step throws biases far below zero.",
                "changes training",
                {"clip_norm": 1.0},
            ),
            Remedy("Use a leaky ReLU, GELU or SiLU here, or normalize before the activation.", "manual"),
        ),
        remedied=twin.remedied if twin and harmed_by(readings, twin) else None,
    )


def origin(dead: Reading, step: int | None, readings: Readings) -> str:
    """When and by what they died, in a sentence; empty where the training was not watched."""
    course = readings.of("activation.dead", dead.place)
    if not course or step is None:
        return ""
    if step == course[0].step:
        return " They were dead at the first watched step: the start, not the rate, made them so."
    updates = [r.value for r in readings.of("update.ratio", "") if r.step is not None and r.step <= step]
    size = f", of up to {100 * max(updates):.2g} % of the weights" if updates else ""
    return f" They died after the start: updates{size}, threw them below zero."


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

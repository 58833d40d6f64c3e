"""# LR01: learning rate too high

## What it does
Compares the plan's rate with the rates of a race: clones of the network that train from the same start on the same
batches, each at a constant rate, and are scored on the same rows held out. Before the training it reports a rate
above the interval of good ones when nothing is learned at it while a lower one learns. After the training it reports
the rate when a twin of the training, the same but for a lower rate, reaches so much more that the training stays below
0.8 of it.

## Why it is bad
A step longer than the curvature allows makes the loss larger, not smaller. The weights are thrown about, units of ReLU
die, numbers overflow.

## Evidence used
- `race.loss` and `race.excess` at the plan's rate and at the best, paired over blocks of the rows held out.
- `race.start` and `race.constant`, the loss of the network's start and of the best constant answer.
- `twin.lower_rate`: the training again at a lower rate, its score on the validation rows beside the training's, paired
  over the rows, repeated in another order of rows where there was time.
  A twin that half of the steps take above the whole training counts too where the race agrees and plain learners
  (`reference.score`) reach so much more that the training stays below 0.8 of it.
- Where outputs cannot be scored `fit.train_loss`, the loss of the trained network, against the best of the race; not
  of a loss that adds its rows up (`loss.batch_factor`), which depends on their number.
- `curvature.sharpness` against `curvature.limit`, the largest curvature at which the plan's steps are stable.
- Without a race or a twin only the curve: training loss above one and a half times its start. That is a suspicion.

## Known limits
The race runs at constant rates. With a warm-up a rate may hold that fails from the first step on, so that with a
warm-up it is judged after the training only. A rate that is worse than the best and still trains is not reported, nor
is a rate that the race itself chose. Where numbers stopped being finite, NUM01 reports. A training that is over and
whose twin was not trained, for want of time, gets a suspicion; one whose twin is not better, or that has learned at
least half of what the race shows to be learnable, a note. Where another remedy mends more than the rate, the rate is a
note too.

## Remedies
- The rate of the race or of the twin, or `lr="auto"` (changes training).
- A clipped gradient, where single steps do the harm (changes training).

## References
Lecture row L36: the loss rises or turns NaN where the rate is too high.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.gen.outcome import gap
from thalweg.rules.gen.outcome import risen as risen_since
from thalweg.rules.lr.race import SHORTEST, Raced, at_rate, raced, severity_of, sharpness, short, standing_of
from thalweg.rules.outcome import bottom, constant_loss, evidence, lost, removed, rise_step, summed
from thalweg.rules.trial import number
from thalweg.rules.twins import Twin, faster, shown

CODE = "LR01"
NAME = "learning rate too high"
STAGE = "training"
NEEDS = ("plan.rate",)
ALONG = True

TWIN = "lower_rate"
FITTED = 0.8  # of the learnable training loss gone
RISEN = 1.5  # times the loss at the start
WHY = "Each step goes further than the slope holds, so that the loss does not fall."
CLIP = Remedy("Clip the gradient's norm at 1.", "changes training", {"clip_norm": 1.0})


def judge(readings: Readings) -> list[Finding]:
    if lost(readings):
        return []
    found, tried = raced(readings), shown(readings, TWIN)
    if tried is None and found is not None and found.too_high:
        tried = faster(readings, TWIN)
    if tried is not None and overfits(readings):
        return []
    if tried is not None:
        return [by_twin(tried, found, readings)]
    if found is None:
        return [] if "race.rate" in readings else by_curve(readings)
    if not found.too_high:
        return []
    reached = readings.last("fit.train_loss")
    if reached is not None and summed(readings):  # over other numbers of rows than the race's
        return []
    if reached is None:
        nothing = found.steps >= SHORTEST and learns_nothing(found, readings)
        harmed = nothing and not readings.value("plan.warmup_steps")
    else:
        harmed = bottom(reached) > (found.best.high or found.best.value) and (reached.step or 0) >= found.steps
    return [by_race(found, reached, readings)] if harmed else []


def overfits(readings: Readings) -> bool:
    """Whether it fits its training rows and has passed its best: a lower rate then helps by fitting them less."""
    reached = readings.last("fit.train_loss")
    share = None if reached is None else removed(readings, reached.value)
    return share is not None and share >= FITTED and gap(readings) and risen_since(readings) is not None


def by_race(found: Raced, reached: Reading | None, readings: Readings) -> Finding:
    """The rate is above the good ones of the race, and the training learned nothing or ended above the race."""
    step = rise_step(readings, RISEN)
    return Finding(
        code=CODE,
        title=f"The learning rate {number(found.plan)} is too high; {short(found.rate.value)} is best",
        severity=severity_of(found, reached, readings, TWIN),
        standing=standing_of(reached, readings),
        cause="lr_too_high",
        why=WHY,
        step=step,
        evidence=(
            *found.evidence(),
            *evidence("training loss at the end", reached, "below the best of the race"),
            *risen(step),
            *sharpness(readings),
        ),
        excluded=(found.excluded,),
        remedies=(found.remedy, CLIP),
    )


def by_twin(tried: Twin, found: Raced | None, readings: Readings) -> Finding:
    """A twin at a lower rate reaches more."""
    plan = readings.value("plan.rate")
    assert plan is not None
    agrees = found is not None and found.too_high
    step = rise_step(readings, RISEN)
    return Finding(
        code=CODE,
        title=f"The learning rate {number(plan)} is too high: at {short(tried.setting)} the training reaches "
        f"{tried.reached} instead of {number(tried.harm.plain.value)}",
        severity=tried.severity,
        standing="verified" if agrees else tried.standing,
        cause="lr_too_high",
        why=WHY,
        step=step,
        evidence=(
            *tried.evidence(f"rate {short(tried.setting)}"),
            *(found.evidence() if found is not None else ()),
            *risen(step),
            *sharpness(readings),
        ),
        excluded=tried.excluded,
        remedies=(at_rate(tried.setting), CLIP),
        remedied=tried.harm.remedied,
    )


def risen(step: int | None) -> tuple[Evidence, ...]:
    return () if step is None else (Evidence("training loss above its start", f"from step {step:,} on"),)


def learns_nothing(found: Raced, readings: Readings) -> bool:
    """Whether the plan's rate ends no better than a constant answer, while the best rate is better than that."""
    bar = constant_loss(readings)
    bar = readings.value("race.start") if bar is None else bar
    return bar is not None and bottom(found.own) > bar and (found.best.high or found.best.value) < bar


def by_curve(readings: Readings) -> list[Finding]:
    """The training loss has risen above its start; without a race that is a suspicion."""
    step = rise_step(readings, RISEN)
    if step is None:
        return []
    losses = readings.of("train.batch_loss")
    return [
        Finding(
            code=CODE,
            title=f"The training loss stays above its start from step {step:,} on",
            severity="warning",
            standing="suspicion",
            cause="lr_too_high",
            why="A loss that rises is the usual sign of a rate that is too high.",
            step=step,
            evidence=(
                Evidence("training loss at the start", number(losses[0].value)),
                Evidence("training loss at the end", number(losses[-1].value)),
            ),
            remedies=(Remedy("Leave the rate to the race.", "changes training", {"optimizer.lr": "auto"}),),
        )
    ]

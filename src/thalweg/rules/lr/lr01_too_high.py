"""# LR01: learning rate too high

## What it does
Compares the plan's rate with the rates of a race: clones of the network that train from the same start on the same
batches, each at a constant rate, and are scored on the same rows held out. It reports a rate above the interval of good
ones when it does harm: before the training, when at this rate nothing is learned while a lower one learns; after it,
when the whole training ended above the loss that the best rate had reached in the race's few steps.

## Why it is bad
A step longer than the curvature allows makes the loss larger, not smaller. The weights are thrown about, units of ReLU
die, numbers overflow.

## Evidence used
- `race.loss` and `race.excess` at the plan's rate and at the best, paired over blocks of the rows held out.
- `race.start` and `race.constant`, the loss of the network's start and of the best constant answer.
- `fit.train_loss`, the loss of the trained network in evaluation mode, against the best of the race.
- Without a race only the curve: training loss above one and a half times its start. That is a suspicion.

## Known limits
The race runs at constant rates. With a warm-up a rate may hold that fails from the first step on, so that with a
warm-up it is judged after the training only. A rate that is worse than the best and still trains is not reported, nor
is a rate that the race itself chose. Where numbers stopped being finite, NUM01 reports. A
training that has learned at least half of what the race shows to be learnable gets a note, not a warning.

## Remedies
- The rate of the race, or `lr="auto"` (changes training).
- A clipped gradient, where single steps do the harm (changes training).

## References
Lecture row L36: the loss rises or turns NaN where the rate is too high.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.lr.race import Raced, raced, severity_of, short
from thalweg.rules.outcome import bottom, constant_loss, evidence, lost, rise_step
from thalweg.rules.trial import number

CODE = "LR01"
NAME = "learning rate too high"
STAGE = "training"
NEEDS = ("plan.rate",)

RISEN = 1.5  # times the loss at the start


def judge(readings: Readings) -> list[Finding]:
    if lost(readings):
        return []
    found = raced(readings)
    if found is None:
        return [] if "race.rate" in readings else by_curve(readings)
    if not found.too_high:
        return []
    reached = readings.last("fit.train_loss")
    if reached is None:
        harmed = learns_nothing(found, readings) and not readings.value("plan.warmup_steps")
    else:
        harmed = bottom(reached) > (found.best.high or found.best.value) and (reached.step or 0) >= found.steps
    if not harmed:
        return []
    step = rise_step(readings, RISEN)
    rate = found.rate.value
    return [
        Finding(
            code=CODE,
            title=f"The learning rate {number(found.plan)} is too high; {short(rate)} is best",
            severity=severity_of(found, reached, readings),
            standing="verified",
            cause="lr_too_high",
            why="Each step goes further than the slope holds, so that the loss does not fall.",
            step=step,
            evidence=(
                *found.evidence(),
                *evidence("training loss at the end", reached, "below the best of the race"),
                *((Evidence("training loss above its start", f"from step {step:,} on"),) if step is not None else ()),
            ),
            excluded=(found.excluded,),
            remedies=(
                found.remedy,
                Remedy("Clip the gradient's norm at 1.", "changes training", {"clip_norm": 1.0}),
            ),
        )
    ]


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

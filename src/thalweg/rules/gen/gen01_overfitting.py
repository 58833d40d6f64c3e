"""# GEN01: overfitting

## What it does
Reports when the loss on the validation rows has risen from its best while the training loss went on falling.

## Why it is bad
From there on the network learns what is particular to its training rows, and answers others worse.

## Evidence used
- `validation.rise`: the mean difference of the validation rows' losses between the last and the best epoch, paired over
  the rows, with its interval. Where it was not measured, the loss curve with the interval of `fit.validation_loss` as
  an independent error of both ends, which is wider.
- `train.loss` at both epochs.
- `outcome.train_score` and `outcome.score`, what the network after its last step answers right of training and of
  validation rows: without a distance between them beyond chance nothing was learned that is particular to its rows.
- `twin.stop`: the training once more up to its best epoch, scored on the same validation rows. It decides where it was
  trained: harm is less than 0.8 of what the twin reaches beyond a constant answer, by more than two standard errors.
- `validation.accuracy`, `validation.balanced_accuracy` or `validation.r2`, where there is one: a cross-entropy may rise
  because a classifier grows too sure of its few mistakes, while it answers no worse (L42).

## Known limits
It is a warning when the weights that were kept are harmed: by the twin; where there is none, because the measure on the
validation rows fell by more than chance and a twentieth; where there is no measure either, because a tenth of what was
learned is lost, which for classes is a suspicion only. Otherwise, and where the best epoch was kept, it is a note. A
rise of less than three epochs is not told. A network that learned nothing but noise from the first epoch on has no best
to rise from; the distance between `fit.train_loss` and `fit.validation_loss` is in the report.

## Remedies
- Keep the best epoch (`keep="best"`), or train shorter (safe).
- More data or augmentation, weight decay, dropout, a smaller network (changes training, manual).

## References
Lecture row L37: training falls, validation rises.
"""

from math import sqrt
from statistics import median

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.gen.outcome import gap
from thalweg.rules.harm import harm as harm_of
from thalweg.rules.outcome import constant_loss, evidence, lost
from thalweg.rules.trial import number

CODE = "GEN01"
NAME = "overfitting"
STAGE = "training"
NEEDS = ("validation.loss", "fit.validation_loss")

MEASURES = ("balanced_accuracy", "accuracy", "r2")  # higher is better
LOST = 0.1  # of the loss that was learned
WORSE = 0.05  # of the measure: less is hardly worth a warning
LASTING = 3  # epochs after the best: one or two may be unlucky


def judge(readings: Readings) -> list[Finding]:
    losses, kept = readings.of("validation.loss"), readings.last("fit.validation_loss")
    assert kept is not None
    best = min(losses, key=lambda r: r.value)
    rise = rise_of(readings, losses[-1], best, kept)
    if lost(readings) or best.step == losses[-1].step or rise.low is None or rise.low <= 0:
        return []
    if len(losses) - 1 - losses.index(best) < LASTING:
        return []
    train = {r.step: r for r in readings.of("train.loss")}
    before, after = train.get(best.step), train.get(losses[-1].step)
    if before is None or after is None or after.value >= before.value:
        return []
    epoch, epochs = losses.index(best) + 1, len(losses)
    harmed, measure = harm(readings, best, losses[-1], rise)
    twin = harm_of(readings, "stop")
    if twin is not None:
        harmed, measure = twin.harmed, twin.evidence(f"the training stopped at epoch {epoch}")
    elif "outcome.score" in readings:
        harmed = harmed and gap(readings)
    harmed = harmed and kept.value > best.value + 0.5 * rise.value  # the last weights were kept, not the best
    # A loss may rise because answers grow too sure: of classes it shows no harm, of numbers it is the measure itself.
    sure = twin is not None or bool(measure) or "task.classes" not in readings or "outcome.score" not in readings
    return [
        Finding(
            code=CODE,
            title=f"Overfitting: the validation loss has risen since epoch {epoch} of {epochs}",
            severity="warning" if harmed else "note",
            standing="verified" if sure or not harmed else "suspicion",
            cause="overfitting",
            why="The training loss still falls while rows that were not trained on are answered worse.",
            step=best.step,
            evidence=(
                Evidence("validation loss, best → last", f"{number(best.value)} → {number(losses[-1].value)}"),
                *evidence("difference, paired over the rows", rise, "interval above 0"),
                Evidence("training loss at the same epochs", f"{number(before.value)} → {number(after.value)}"),
                *measure,
                *evidence("score on training rows, last weights", readings.last("outcome.train_score")),
                *evidence("score on validation rows, last weights", readings.last("outcome.score")),
            ),
            excluded=() if twin is None else (Excluded("network, loss, rate", "the twin has the same"), *twin.excluded),
            remedies=(
                Remedy(f"Keep the best epoch, or stop at epoch {epoch}.", "safe", {"keep": "best"}),
                Remedy("Raise the weight decay, or add dropout or augmentation.", "changes training"),
                Remedy("Get more rows, or use a smaller network.", "manual"),
            ),
        )
    ]


def rise_of(readings: Readings, last: Reading, best: Reading, kept: Reading) -> Reading:
    """The paired rise where it was measured; else from the curve, both ends with the kept loss's own error."""
    paired = readings.last("validation.rise")
    if paired is not None:
        return paired
    value = last.value - best.value
    if kept.low is None or kept.high is None:
        return Reading("validation.rise", value)
    half = sqrt(2) * (kept.high - kept.low) / 2 * max(1.0, last.value / kept.value if kept.value > 0 else 1.0)
    return Reading("validation.rise", value, low=value - half, high=value + half)


def harm(readings: Readings, best: Reading, last: Reading, rise: Reading) -> tuple[bool, tuple[Evidence, ...]]:
    """Whether the answers got worse, by the measure where there is one, else by a tenth of the learned loss."""
    name = next((m for m in MEASURES if f"validation.{m}" in readings), None)
    if name is None:
        constant = constant_loss(readings)
        return constant is not None and rise.value > LOST * max(constant - best.value, 0.0), ()
    series = readings.of(f"validation.{name}")
    before = next(r.value for r in series if r.step == best.step)
    after = median(r.value for r in series[-LASTING:])  # one epoch may be unlucky
    shown = (Evidence(f"validation {name.replace('_', ' ')}, the same epochs", f"{before:.3g} → {after:.3g}"),)
    count = best.count or last.count or 1
    chance = 0.0 if name == "r2" else 2 * sqrt(max(before * (1 - before), 1 / count) / count)
    return before - after > max(chance, WORSE * before), shown

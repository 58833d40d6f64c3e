"""# GEN03: loss and metric disagree

## What it does
At the end of a training, compares the epoch of the lowest validation loss with the epoch of the best metric, and tells
when they are not the same and the choice between them makes a difference that is more than noise.

## Why it is bad
It is not bad in itself. A cross-entropy may rise while a classifier still answers better, because it grows too sure of
its few mistakes; a metric may rise by chance while the loss tells that probabilities got worse. Whoever takes the
network of one epoch decides between the two, and should know it.

## Evidence used
- `validation.loss` and the validation metrics of every epoch; `best.epoch`, whose note names the measure that chose.
  The metric is the one that chose, or the first one shown where the loss did.
- The noise of each curve is measured on the curve itself: the size of its second differences from epoch to epoch, which
  a steady rise or fall leaves at zero (the median of all, or the mean square of the later half, the larger). For a
  share of rows (an accuracy) it is at least the deviation of a proportion of so many rows. A difference counts where it
  exceeds what the best of so many epochs reaches by chance.

## Known limits
It is a note: it says what each epoch would have kept, not which is right. Fewer than 10 epochs show no noise, and are
not judged. Epochs share their validation rows, so that their true difference is less noisy than assumed: it is silent
in doubt. Only metrics whose direction is known by name are looked at, or the one that chose the epoch.

## Remedies
- `Plan(selection="loss")` or `Plan(selection="<the metric>")`, by what the network is for (changes the training's end).
- Probabilities that are too sure: label smoothing or more regularization (changes training).

## References
Lecture row L42. Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017): the loss overfits where accuracy
does not.
"""

from math import isfinite, sqrt
from statistics import NormalDist, median

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.outcome import lost
from thalweg.rules.trial import number

CODE = "GEN03"
NAME = "loss and metric disagree"
STAGE = "training"
NEEDS = ("validation.loss", "best.epoch")

EPOCHS = 10  # from which the noise of a curve can be told
HIGHER = (
    *("accuracy", "balanced_accuracy", "f1", "precision", "recall", "auc", "average_precision", "r2"),
    *("micro_f1", "macro_f1", "subset_accuracy", "label_accuracy", "macro_auc", "macro_average_precision"),
)
LOWER = ("rmse", "mae", "mse", "log_loss", "brier", "perplexity")
SHARES = ("accuracy", "recall", "subset_accuracy")  # of rows: what is known of a proportion holds
CHANCE = 0.01  # that the best of all epochs, which differ by noise alone, is called better


def judge(readings: Readings) -> list[Finding]:
    losses, best = readings.of("validation.loss"), readings.last("best.epoch")
    assert best is not None
    chosen = best.note or "loss"
    name = chosen if chosen != "loss" else first_metric(readings)
    series = readings.of(f"validation.{name}") if name else []
    if lost(readings) or name is None or len(series) != len(losses) or len(losses) < EPOCHS:
        return []
    if not all(isfinite(r.value) for r in [*losses, *series]):
        return []
    sign = -1.0 if name in LOWER else 1.0
    by_loss = last_best(losses, -1.0)
    by_metric = last_best(series, sign)
    gained = sign * (series[by_metric].value - series[by_loss].value)
    paid = losses[by_metric].value - losses[by_loss].value
    if by_loss == by_metric or not (gained > noise(series, name) or paid > noise(losses, "loss")):
        return []
    shown = name.replace("_", " ")
    return [
        Finding(
            code=CODE,
            title=f"Validation loss is best at epoch {by_loss + 1}, {shown} at epoch {by_metric + 1} of {len(losses)}",
            severity="note",
            standing="verified",
            cause="measures_disagree",
            why="Which epoch is the best depends on the measure: the loss looks at how sure each answer is, the "
            f"{shown} does not. The weights of epoch {best.value:.0f} were chosen, by the {chosen.replace('_', ' ')}.",
            step=losses[by_loss].step,
            evidence=(
                Evidence(f"epoch {by_loss + 1}: loss, {shown}", both(losses, series, by_loss)),
                Evidence(f"epoch {by_metric + 1}: loss, {shown}", both(losses, series, by_metric)),
                Evidence(f"noise of a difference of {shown}", number(noise(series, name))),
                Evidence("noise of a difference of loss", number(noise(losses, "loss"))),
            ),
            remedies=(
                Remedy(
                    f"Choose the epoch by the {'loss' if chosen != 'loss' else shown}, if that is what counts.",
                    "changes training",
                    {"selection": "loss" if chosen != "loss" else name},
                ),
            ),
        )
    ]


def first_metric(readings: Readings) -> str | None:
    """The first metric of the epoch table whose direction is known."""
    names = [r.name.removeprefix("validation.") for r in readings if r.name.startswith("validation.")]
    return next((name for name in names if name in HIGHER or name in LOWER), None)


def last_best(series: list[Reading], sign: float) -> int:
    """The place of the largest value times `sign`; of several the last, as the training keeps it."""
    return max(range(len(series)), key=lambda k: (sign * series[k].value, k))


def noise(series: list[Reading], name: str) -> float:
    """What a difference of two epochs must exceed."""
    values = [r.value for r in series]
    second = [abs(a - 2 * b + c) for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    late = second[len(second) // 2 :]  # the first epochs fall steeply, which is no noise
    spread = max(1.4826 * median(second), sqrt(sum(d * d for d in late) / len(late)))
    deviation = spread / sqrt(6)  # of noise alone, a second difference has sqrt(6) times its deviation
    count = min((r.count for r in series if r.count), default=0)
    if name in SHARES and count:
        share = min(max(median(values), 1 / count), 1 - 1 / count)
        deviation = max(deviation, sqrt(share * (1 - share) / count))
    # sqrt(2): of a difference of two epochs; the quantile is Bonferroni's, since one of them is the best of all
    return sqrt(2) * NormalDist().inv_cdf(1 - CHANCE / len(values)) * deviation


def both(losses: list[Reading], series: list[Reading], epoch: int) -> str:
    return f"{number(losses[epoch].value)}, {number(series[epoch].value)}"

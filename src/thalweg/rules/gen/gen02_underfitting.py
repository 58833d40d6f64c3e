"""# GEN02: underfitting

## What it does
Reports a result that is poor for these data, on training rows as on validation rows:

- the network reaches less than 0.65 of what plain learners (ridge regressions on plain descriptions of the rows,
  nearest neighbors) reach beyond one constant answer, on validation rows and on its own training rows;
- or its training loss is hardly below that of a constant answer, though it could learn a few rows by heart. That is a
  suspicion.

## Why it is bad
It has not found what the target depends on; training and validation loss are close because both are bad. Since plain
learners answer the same validation rows, the rest is not irreducible.

## Evidence used
- `outcome.score`, `outcome.train_score` of the network after the last step; `reference.score` of plain learners on the
  same validation rows, `reference.left_out` on the training rows, each left out; `reference.gain`, paired over the
  rows, whose interval must be above 0.
- `overfit.share`: whether it learns a few rows by heart at some rate; one that does not is too small or cut off.
- `fit.train_loss` and `fit.validation_loss`, in evaluation mode with the kept weights; `loss.constant` or
  `race.constant`, the loss of the best constant answer.
- `overfit.share`: what the same network reaches on a few rows.

## Known limits
That the network is at fault is shown, not which part of it: a wrong rate, decay, dead units, broken inputs end in the
same picture, have rules of their own, and come first, unless a twin with their remedy stays below the same share.
Sound networks of any kind reach 0.85 and more of it on the open cases; a model that is too simple for its data, on
purpose or not, is reported. Without plain learners (classes per position, a step of the user's own)
the rest may be irreducible: noise that no network explains.

## Remedies
- A larger network, less regularization, a longer training, better inputs (manual).

## References
Lecture row L37: both losses close, or both high.
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.gen.outcome import POOR, fits_little
from thalweg.rules.outcome import constant_loss, evidence, lost, removed
from thalweg.rules.trial import number

CODE = "GEN02"
NAME = "underfitting"
STAGE = "training"
NEEDS = ("fit.train_loss", "fit.validation_loss")

LITTLE = 0.1  # of the learnable loss
TWINS = {"lower_rate": "lr_too_high", "higher_rate": "lr_too_low", "longer": "too_few_epochs"}
BY_HEART = 0.9  # of the loss of a few rows removed


def judge(readings: Readings) -> list[Finding]:
    if lost(readings):
        return []
    return by_reference(readings) or by_loss(readings)


def by_reference(readings: Readings) -> list[Finding]:
    """Less than 0.65 of what plain learners reach, on training rows too."""
    if not fits_little(readings, POOR):
        return []
    own, plain = readings.last("outcome.score"), readings.last("reference.score")
    assert own is not None
    assert plain is not None
    bar, memory = readings.value("outcome.constant") or 0.0, readings.value("overfit.share")
    small = memory is not None and memory < BY_HEART
    few = () if memory is None else (Evidence("loss removed on a few rows", f"{100 * memory:.0f} %", "above 90 %"),)
    return [
        Finding(
            code=CODE,
            title=f"Underfitting: {100 * own.value:.0f} % where plain learners reach {100 * plain.value:.0f} %",
            severity="warning",
            standing="verified",
            cause="underfitting",
            why="Even the rows it trained on are answered worse than by learners that know nothing of the network"
            + (", and it cannot learn a few rows by heart at any rate: it is too small or cut off." if small else "."),
            evidence=(
                *evidence(f"{own.note or 'score'} on validation rows", own, f"a constant answer has {number(bar)}"),
                *evidence(f"the same by plain learners ({plain.note})", plain, f"the network has {POOR:g} of it"),
                *evidence("on training rows", readings.last("outcome.train_score")),
                *evidence("the same by plain learners, left out one by one", readings.last("reference.left_out")),
                *evidence("gain of plain learners, paired over the rows", readings.last("reference.gain"), "below 0"),
                *few,
            ),
            excluded=(
                Excluded("irreducible noise", "plain learners answer the same validation rows"),
                Excluded("overfitting", "training rows are answered no better"),
                *no_better(readings),
            ),
            remedies=(
                Remedy("Use a larger network, a longer training or less regularization.", "changes training"),
                Remedy("Look at what cuts the network off from its inputs or its loss.", "manual"),
            ),
        )
    ]


def no_better(readings: Readings) -> tuple[Excluded, ...]:
    """Causes whose remedy was tried on a twin that stayed below that share of what plain learners reach."""
    plain, bar = readings.value("reference.score"), readings.value("reference.constant")
    found = []
    for name, cause in TWINS.items():
        changed = readings.value(f"twin.{name}.changed")
        if changed is None or plain is None or bar is None or changed - bar >= POOR * (plain - bar):
            continue
        found.append(Excluded(cause, f"without it the training reaches {number(changed)}, still too little"))
    return tuple(found)


def by_loss(readings: Readings) -> list[Finding]:
    """A training loss near that of a constant answer."""
    train, validation = readings.last("fit.train_loss"), readings.last("fit.validation_loss")
    assert train is not None
    assert validation is not None
    share, memory = removed(readings, train.value), readings.value("overfit.share")
    if share is None or share >= LITTLE or (memory is not None and memory <= LITTLE):
        return []
    constant = constant_loss(readings)
    few = () if memory is None else (Evidence("the same on a few rows", f"{100 * memory:.0f} %"),)
    return [
        Finding(
            code=CODE,
            title=f"Underfitting: {100 * max(share, 0.0):.0f} % of the learnable training loss is gone",
            severity="warning",
            standing="suspicion",
            cause="underfitting",
            why="Even the rows it trained on are answered hardly better than by one constant answer.",
            evidence=(
                *evidence("loss on training rows", train),
                *evidence("loss on validation rows", validation),
                *((Evidence("loss of the best constant answer", number(constant)),) if constant is not None else ()),
                *few,
            ),
            remedies=(
                Remedy("Train longer, or use a larger network or less regularization.", "changes training"),
                Remedy("Give it inputs that the target depends on.", "manual"),
            ),
        )
    ]

"""# LABEL03: class imbalance

## What it does
Reports rare classes that the network does not answer because it saw too few of them: a twin of the training, from the
same start over as many steps, whose batches show all classes alike, is better by far.

## Why it is bad
The mean of the loss is made by the frequent classes. Where rare ones count as much when the network is used (because
they are more frequent there, or because finding them is the purpose), it fails on them.

## Evidence used
- `twin.balance`: the score of the training and of its twin on the same validation rows, paired. It is a warning where
  the training reaches less than 0.8 of what the twin reaches beyond one constant answer, by more than two standard
  errors. That happens where classes are rarer in the training rows than in the validation rows.
- `reference.weighted`: the score of a plain learner with all classes weighed alike, on the same validation rows,
  against the same learner without (`reference.weighted_gain`) and against the network, by the same limits.
- `twin.balance_even`: the same with every class counted alike. It decides where the network answers no better than by
  always naming the most frequent class.
- `outcome.balanced` and `reference.balanced`: where a weighted plain learner is better on rare classes, but the score
  on all rows is not harmed, it is a note.

## Known limits
Repeated rows are not new rows: with a handful of a class the twin learns them by heart, and the harm is larger than it
shows. Where all rows count alike and the parts have the same shares, ignoring a rare class costs nothing in accuracy,
and is no fault. Only rows in memory are repeated.

## Remedies
- Weigh the classes in the loss, or draw them alike (changes training); collect more rows of the rare classes (manual).

## References
He and Garcia, "Learning from Imbalanced Data" (IEEE TKDE 2009); Buda et al., "A systematic study of the class imbalance
problem in convolutional neural networks" (2018): oversampling to full balance works best.
"""

from typing import Literal

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import SHARE, Harm, harm
from thalweg.rules.outcome import bottom, lost, top, with_interval
from thalweg.rules.trial import number

CODE = "LABEL03"
NAME = "class imbalance"
STAGE = "training"
NEEDS = ("balance.ratio",)

REMEDY = "all classes alike in its batches"
REMEDIES = (
    Remedy("Weigh classes in the loss by the inverse of their rows, or draw them alike.", "changes training"),
    Remedy("Collect more rows of the rare classes.", "manual"),
)
UNEVEN = 3.0  # largest class over the smallest: less is hardly an imbalance (He and Garcia 2009 begin at 10)
AT_STAKE = 0.1  # of the validation rows: answered wrong, and of a class that is rarer in training


def judge(readings: Readings) -> list[Finding]:
    whole, even = harm(readings, "balance"), harm(readings, "balance_even")
    if lost(readings):
        return []
    if whole is not None and whole.harmed:
        return [finding(readings, whole, "warning")]
    if whole is not None and even is not None and even.harmed and only_frequent(whole):
        return [finding(readings, even, "warning")]
    return by_weighing(readings) or by_reference(readings)


def only_frequent(whole: Harm) -> bool:
    """Whether the network answers no better than by always naming the most frequent class."""
    low, high = whole.difference.low, whole.difference.high
    error = 0.0 if low is None or high is None else (high - low) / 2
    return whole.plain.value <= whole.constant + error


def finding(readings: Readings, found: Harm, severity: Literal["warning", "note"]) -> Finding:
    ratio = readings.value("balance.ratio") or 1.0
    reached = 100 * found.plain.value, 100 * found.changed.value
    return Finding(
        code=CODE,
        title=f"Rare classes are lost: {reached[0]:.0f} % where batches of all classes alike reach {reached[1]:.0f} %",
        severity=severity,
        standing="verified",
        cause="class_imbalance",
        why=f"The most frequent class has {ratio:,.0f} times the rows of the rarest, and the loss counts rows.",
        evidence=(
            Evidence("rows of the most frequent class to those of the rarest", number(ratio)),
            *found.evidence(REMEDY),
            *recalls(readings),
        ),
        excluded=(
            Excluded("network, loss, learning rate, steps", "the twin has the same"),
            *found.excluded,
        ),
        remedies=REMEDIES,
    )


def by_weighing(readings: Readings) -> list[Finding]:
    """A plain learner that weighs classes alike does far better than the network, and than itself without."""
    own, weighed = readings.last("outcome.score"), readings.last("reference.weighted")
    gain, bar = readings.last("reference.weighted_gain"), readings.value("outcome.constant")
    if own is None or weighed is None or gain is None or bar is None:
        return []
    if (readings.value("balance.at_stake") or 0.0) < AT_STAKE or bottom(gain) <= 0 or top(own) >= bottom(weighed):
        return []
    most = SHARE * (weighed.value - bar)
    if max(own.value, weighed.value - gain.value) - bar >= most:
        return []
    ratio = readings.value("balance.ratio") or 1.0
    return [
        Finding(
            code=CODE,
            title=f"Rare classes are lost: {100 * own.value:.0f} % where a plain learner that weighs classes alike "
            f"reaches {100 * weighed.value:.0f} %",
            severity="warning",
            standing="verified",
            cause="class_imbalance",
            why=f"The most frequent class has {ratio:,.0f} times the rows of the rarest, and the loss counts rows.",
            evidence=(
                Evidence(f"{own.note or 'score'} of the network on validation rows", with_interval(own)),
                Evidence("a plain learner with all classes weighed alike", with_interval(weighed)),
                Evidence("what the weights bring it, paired over the rows", with_interval(gain), "interval above 0"),
                *recalls(readings),
            ),
            excluded=(
                Excluded("too hard classes", "the same learner without weights does no better than the network"),
            ),
            remedies=REMEDIES,
        )
    ]


def recalls(readings: Readings) -> tuple[Evidence, ...]:
    """The classes that are answered worst."""
    worst = sorted(readings.of("outcome.recall"), key=lambda r: r.value)[:3]
    return tuple(Evidence(f"rows of class {r.place} answered right", f"{100 * r.value:.0f} %") for r in worst)


def by_reference(readings: Readings) -> list[Finding]:
    """A note where a weighted plain learner does surely better on rare classes than the network."""
    own, plain = readings.last("outcome.balanced"), readings.last("reference.balanced")
    if own is None or plain is None or top(own) >= bottom(plain) or (readings.value("balance.ratio") or 1.0) < UNEVEN:
        return []
    gain = readings.last("reference.gain")
    if gain is not None and bottom(gain) > 0:
        return []  # it is better on all rows: the classes' shares are not the reason
    ratio = readings.value("balance.ratio") or 1.0
    return [
        Finding(
            code=CODE,
            title=f"Rare classes are answered worse: {100 * own.value:.0f} % with every class counted alike",
            severity="note",
            standing="verified",
            cause="class_imbalance",
            why=f"The most frequent class has {ratio:,.0f} times the rows of the rarest. Whether it matters depends on "
            "what the network is for: on all rows together it answers well.",
            evidence=(
                Evidence("score with every class counted alike", with_interval(own)),
                Evidence("the same of a plain learner that weighs classes alike", with_interval(plain)),
                *recalls(readings),
            ),
            remedies=(
                Remedy("Weigh the classes in the loss, if rare ones are what counts.", "changes training"),
                Remedy("Collect more rows of the rare classes.", "manual"),
            ),
        )
    ]

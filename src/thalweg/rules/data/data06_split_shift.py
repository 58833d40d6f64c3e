"""# DATA06: validation differs from training

## What it does
Asks whether a simple classifier tells validation rows from training rows, whether one scale and offset per column
explains the difference, and whether the classes have other shares. After the training it measures what that costs.

## Why it is bad
A network is right about rows like those it was trained on. Where the parts were prepared in two ways (one normalized,
the other not; strong noise or augmentation stored in one of them), it meets rows of a kind that it has never seen, and
the validation measures tell about the preparation instead of the network.

## Evidence used
- `shift.auc`: area under the curve of a cross-fitted classifier of parts, compared within classes, against the same
  for permuted parts at a level of 0.0005 (`shift.chance`). This is a shift of the inputs; a time or a group split, or a
  test set from elsewhere, has one by nature, and it is mostly harmless: a note.
- `shift.aligned`: the same when each column of the validation rows gets mean and deviation of the training rows, and
  `shift.scale`, `shift.offset`, how far the columns are apart. Parts that are told apart before and hardly after, at
  scales twofold apart or a deviation away, were prepared unequally: a suspicion.
- `shift.target`, `shift.target_level`: the shares of the classes (tenths of a number) and the level at which a
  chi-square test calls them unequal: a shift of the target, told apart from the former.
- It is a warning by one of two experiments, when the training reaches less than 0.8 of what the other one does beyond a
  constant answer (0.95 where the parts were prepared unequally), and two standard errors of the rows less.
  `twin.align_validation`: the same network on validation rows with mean and deviation of the training rows.
  `twin.train_on_validation`: the same training on one half of the validation rows, no more than half as many as the
  training rows are, judged on the other half.

## Known limits
It looks at up to 1,024 rows of each part. A linear classifier of simple features does not see every difference. That
fewer rows of another kind teach more may also be labels that are right there and wrong in the training rows.

## Remedies
- Prepare validation and test rows exactly as the training rows: the same `preprocessing`, fitted on training rows
  (manual).
- Weaken a stored augmentation, or apply it anew in each epoch (manual).
- Take training rows from where the validation rows come from, or split at random (manual).

## References
Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests" (ICLR 2017); Rabanser, Günnemann and Lipton, "Failing
Loudly: An Empirical Study of Methods for Detecting Dataset Shift" (NeurIPS 2019).
"""

from typing import Literal

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import Harm, harm
from thalweg.rules.outcome import evidence
from thalweg.rules.trial import number

CODE = "DATA06"
NAME = "validation differs from training"
STAGE = "check"
NEEDS = ("shift.auc", "shift.chance")

MUCH = 0.75  # of the area under the curve: three of four pairs of rows are told apart
LEAST = 0.55  # an area below is no difference that a person would call one
SCALE, OFFSET = 2.0, 1.0  # of the columns: no two samples of one kind are that far apart
LEFT = 0.25  # of the area above 0.5 that may remain when one scale and offset per column explains the difference
NEARLY_ALL = 0.95  # of what the other preparation reaches: what is below is a training that is impaired
LEVEL, DISTANCE = 1e-6, 0.1  # of the chi-square test, and of the shares themselves


def differs(readings: Readings) -> bool:
    """Whether the inputs of the parts are told apart beyond chance."""
    area, chance = readings.last("shift.auc"), readings.last("shift.chance")
    if area is None or chance is None or area.low is None or chance.high is None:
        return False
    return area.value > chance.high and area.low > LEAST


def differs_much(readings: Readings) -> bool:
    area = readings.last("shift.auc")
    return differs(readings) and area is not None and area.low is not None and area.low > MUCH


def prepared_unequally(readings: Readings) -> bool:
    """Whether one scale and offset for each column explains the difference, and these are no chance."""
    area, again = readings.value("shift.auc"), readings.value("shift.aligned")
    scale, offset = readings.value("shift.scale"), readings.value("shift.offset")
    if area is None or again is None or scale is None or offset is None or not differs_much(readings):
        return False
    far = not 1 / SCALE < scale < SCALE or offset > OFFSET
    return far and again - 0.5 < LEFT * (area - 0.5)


def other_shares(readings: Readings) -> bool:
    """Whether the target is spread otherwise."""
    level, distance = readings.value("shift.target_level"), readings.value("shift.target")
    return level is not None and distance is not None and level < LEVEL and distance >= DISTANCE


def judge(readings: Readings) -> list[Finding]:
    inputs, shares = differs(readings), other_shares(readings)
    if not inputs and not shares:
        return []
    moved, retrained = harm(readings, "align_validation"), harm(readings, "train_on_validation")
    if moved is not None and (moved.harmed or (prepared_unequally(readings) and impairs(moved))):
        return [finding(readings, unequal_title(readings), moved, "columns as in the training rows")]
    if retrained is not None and retrained.harmed:
        title = "Training on a few validation rows teaches more about the others than all training rows"
        return [finding(readings, title, retrained, "a training on half of the validation rows")]
    if prepared_unequally(readings):
        return [finding(readings, unequal_title(readings), None, "")]
    area = readings.value("shift.auc")
    told = f"Validation rows are told from training rows in {100 * (area or 0.5):.0f} of 100 pairs"
    return [
        finding(readings, told if inputs else "The targets of validation and training are spread otherwise", None, "")
    ]


def impairs(moved: Harm) -> bool:
    """Whether parts that were prepared unequally, which is a fault by itself, cost the score anything beyond chance."""
    worse = moved.plain.value - moved.constant < NEARLY_ALL * moved.room
    return worse and moved.difference.low is not None and moved.difference.low > 0


def unequal_title(readings: Readings) -> str:
    scale, offset = readings.value("shift.scale"), readings.value("shift.offset")
    if scale is None or offset is None:
        return "Validation rows are not prepared like training rows"
    if not prepared_unequally(readings):
        return "With mean and deviation of the training rows, validation rows are answered much better"
    return (
        f"Validation rows are not prepared like training rows: deviation {number(scale)} times theirs, mean "
        f"{number(offset)} deviations away"
    )


def finding(readings: Readings, title: str, cost: Harm | None, remedy: str) -> Finding:
    unequal = prepared_unequally(readings)
    standing: Literal["verified", "suspicion", "proven"]
    standing = "verified" if cost else "suspicion" if unequal else "proven"
    return Finding(
        code=CODE,
        title=title,
        severity="warning" if cost or unequal else "note",
        standing=standing,
        cause="split_shift",
        why="A network is right about rows like those it was trained on; others are answered by chance, more or less."
        if cost or unequal
        else "Parts of another time, group or source differ by nature; that it does harm was not shown.",
        place="validation",
        evidence=(*told(readings), *(cost.evidence(remedy) if cost else ())),
        excluded=(*apart(readings), *(cost.excluded if cost else ())),
        remedies=(
            Remedy("Prepare validation and test rows exactly as the training rows.", "manual"),
            Remedy("Weaken an augmentation that is stored in the training rows, or draw it anew each epoch.", "manual"),
            Remedy("Take training rows from where the validation rows come from.", "manual"),
        ),
    )


def told(readings: Readings) -> tuple[Evidence, ...]:
    chance = readings.last("shift.chance")
    limit = "" if chance is None or chance.high is None else f"{chance.high:.3f} by chance"
    lines = evidence("area under the curve of a classifier of parts", readings.last("shift.auc"), limit)
    lines += evidence("the same with equal mean and deviation of columns", readings.last("shift.aligned"))
    lines += evidence("deviation of columns, validation over training", readings.last("shift.scale"), f"{SCALE:g}")
    lines += evidence("difference of means, in deviations", readings.last("shift.offset"), f"{OFFSET:g}")
    if other_shares(readings):
        lines += evidence("distance of the targets' shares", readings.last("shift.target"), f"{DISTANCE:g}")
    return lines


def apart(readings: Readings) -> tuple[Excluded, ...]:
    """A shift of the target, where its shares are alike."""
    level = readings.value("shift.target_level")
    if level is None or other_shares(readings):
        return ()
    return (Excluded("other shares of the target", f"a chi-square test finds none at a level of {number(LEVEL)}"),)

"""# LABEL01: labels unrelated to the inputs

## What it does
Reports training rows whose labels do not depend on their inputs: plain learners (ridge regressions on standardized
values, random features, patches or tokens, and the nearest neighbors) do no better on the true labels than on labels
dealt out at random. Since a task may be too hard for plain learners, that alone is never reported. It is reported

- before the first step, where the same learners on as many *validation* rows alone explain far more than chance, and
  fitted on the training rows answer the validation rows no better than one constant answer: the task is learnable, the
  training labels are not those of their inputs;
- after the training, where the network too answers validation rows no better than a constant, though it learns a few
  rows by heart, and no rate of the race was any better; where the race could not tell, no twin at a lower or higher
  rate.

## Why it is bad
All that can be learned then is each row by heart, and nothing that holds for others.

## Evidence used
- `labels.explained`, `labels.permuted` and `labels.chance` at the places `train` and `validation`: leave-one-out with
  the true labels and with 19 permutations, a test at the level of 5 %; for validation rows the excess over the best
  permutation must be more than the range of all (5.5 standard deviations above their mean).
- `reference.score` and `reference.constant`; after the training `outcome.score`, `overfit.share`, `race.learnable`, and
  the scores of `twin.lower_rate` and `twin.higher_rate` beyond a constant answer, with two standard errors.

## Known limits
What depends on the inputs in no way that plain learners see (parity of many bits, long sequences) is told from broken
labels only by the network itself. The largest share that permuted labels reach says how weak a dependence would have
been seen. Of neighboring rows in time that lie close together in the validation part and far apart among the training
rows the same picture can arise without broken labels.

## Remedies
- Look at rows with their labels after all preparation, and join them again by their key (manual).

## References
Ojala and Garriga, "Permutation Tests for Studying Classifier Performance" (JMLR 2010); Zhang et al., "Understanding
deep learning requires rethinking generalization" (ICLR 2017); lecture row L35.
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import harm
from thalweg.rules.label.dependence import Dependence, dependence
from thalweg.rules.outcome import bottom, learned, with_interval
from thalweg.rules.trial import number
from thalweg.rules.twins import LEAST_STEPS

CODE = "LABEL01"
NAME = "labels unrelated to the inputs"
STAGE = "check"
NEEDS = ("labels.chance",)

BY_HEART = 0.9  # of the loss of a few rows removed
RATES = ("lower_rate", "higher_rate")  # twins


def judge(readings: Readings) -> list[Finding]:
    train, validation = dependence(readings, "train"), dependence(readings, "validation")
    if train is None or not train.at_chance or answers(readings):
        return []
    if validation is not None and told_apart(train, validation) and not answers_by_reference(readings):
        return [finding(readings, train, "training", (validation.evidence("validation rows alone"),))]
    nowhere = validation is None or validation.at_chance
    by_heart = (readings.value("overfit.share") or 0.0) >= BY_HEART
    if nowhere and by_heart and answers(readings) is False and no_rate_learns(readings):
        more = () if validation is None else (validation.evidence("validation rows alone"),)
        return [finding(readings, train, "all", more)]
    return []


def answers(readings: Readings) -> bool | None:
    """Whether the network answers validation rows better than one constant answer; None before the training."""
    reached, constant = readings.last("outcome.score"), readings.value("outcome.constant")
    if reached is None or constant is None:
        return learned(readings)
    return bottom(reached) > constant or bool(learned(readings))


def no_rate_learns(readings: Readings) -> bool:
    """Whether the race showed it, or twins of the training at lower and at higher rates did where it could not."""
    learnable = readings.value("race.learnable")
    if learnable is not None:
        return learnable == 0
    return learned(readings) is False and all(not_above_constant(readings, name) for name in RATES)


def not_above_constant(readings: Readings, name: str) -> bool:
    """Whether the best twin of a family had time to learn, and answers no better than one constant answer."""
    tried = harm(readings, name)
    return tried is not None and tried.steps >= LEAST_STEPS and tried.room <= tried.own_half


def told_apart(train: Dependence, validation: Dependence) -> bool:
    """Whether validation rows show a dependence that as many training rows would have shown."""
    return validation.surely and train.count >= validation.count and validation.explained.value > 2 * train.range[1]


def answers_by_reference(readings: Readings) -> bool:
    """Whether plain learners fitted on training rows answer validation rows better than one constant answer."""
    reached, constant = readings.last("reference.score"), readings.value("reference.constant")
    return reached is not None and constant is not None and bottom(reached) > constant


def finding(readings: Readings, train: Dependence, which: str, more: tuple[Evidence, ...]) -> Finding:
    reference, constant = readings.last("reference.score"), readings.value("reference.constant")
    reached = readings.last("outcome.score")
    lines = [train.evidence("training rows"), *more]
    if reference is not None and constant is not None:
        what = "plain learners fitted on training rows, on validation rows"
        lines.append(Evidence(what, with_interval(reference), f"above {number(constant)}, one constant answer"))
    if reached is not None:
        lines.append(Evidence("the network on validation rows", with_interval(reached)))
    return Finding(
        code=CODE,
        title=f"The labels of {'the training' if which == 'training' else 'all'} rows have nothing to do with their "
        "inputs",
        severity="error",
        standing="verified",
        cause="label_corruption",
        why="Permuted labels are learned as well as the true ones: what is trained can only learn its rows by heart.",
        evidence=tuple(lines),
        excluded=rivals(readings, train, which),
        remedies=(
            Remedy(
                "Look at rows with their labels after all preparation: were inputs or labels sorted or shuffled alone? "
                "Join them again by their key.",
                "manual",
            ),
        ),
    )


def rivals(readings: Readings, train: Dependence, which: str) -> tuple[Excluded, ...]:
    found = []
    if which == "training":
        found.append(Excluded("a task that is too hard", "on validation rows alone plain learners find it"))
        found.append(Excluded("network, loss and learning rate", "plain learners use none of them"))
    if (readings.value("overfit.share") or 0.0) >= BY_HEART:
        found.append(Excluded("the network", "it learns a few rows by heart"))
    if readings.value("race.learnable") == 0:
        found.append(Excluded("the learning rate", "no rate of the race beats one constant answer"))
    elif which == "all":
        found.append(Excluded("the learning rate", "no twin at a lower or higher rate beats one constant answer"))
    seen = train.range[1] - train.permuted.value
    found.append(Excluded("too few rows", f"a dependence that explains more than {100 * seen:.1f} % would be seen"))
    return tuple(found)

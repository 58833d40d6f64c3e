"""# LR03: nothing learnable

## What it does
Reports when at no constant rate a clone of the network came below the loss of the best constant answer on rows it had
not trained on, though the best rates ran four times as long.

## Why it is bad
Whatever is trained then learns its rows by heart. Usual reasons: labels that belong to other rows, inputs without what
the target depends on, a preparation that destroyed it.

## Evidence used
- `race.longer`, held-out losses of the longest lanes; `race.constant`, the loss of the best constant answer. The test
  is paired over blocks of rows, one-sided, and corrected for the number of rates.
- `overfit.share`: a network that learns a few rows by heart is not to blame itself.
- `labels.explained`: whether plain learners find that the labels depend on the inputs.
- The probe `permute_labels`, where one was made: the same short training with the labels dealt out at random.

## Known limits
It is a suspicion: a task may need more steps than a race has, and a network may be unable to learn anything. It is
verified only where permuted labels do as well as the real ones. A training that came below the constant answer on its
validation rows takes it back; so do plain learners that find a dependence in these rows (`labels.explained`), because
then network, loss or rates are at fault. Where they find none and more speaks for it, LABEL01 reports.

## Remedies
- Look at rows with their labels after all preparation; join them again by their key (manual).

## References
Lecture row L35; Zhang et al., "Understanding deep learning requires rethinking generalization" (ICLR 2017).
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.label import label01_unrelated
from thalweg.rules.label.dependence import dependence
from thalweg.rules.outcome import evidence, learned
from thalweg.rules.trial import LEAST, number, percent, trial

CODE = "LR03"
NAME = "nothing learnable"
STAGE = "training"
NEEDS = ("race.learnable",)

BY_HEART = 0.9  # of the loss of a few rows removed


def judge(readings: Readings) -> list[Finding]:
    if readings.value("race.learnable") != 0 or learned(readings):
        return []
    plain = dependence(readings, "train")
    if (plain is not None and plain.surely) or label01_unrelated.judge(readings):
        return []
    longest = min(readings.of("race.longer"), key=lambda r: r.value)
    permuted = trial(readings, "permute_labels")
    alike = permuted is not None and permuted.difference.low is not None and permuted.difference.low > -LEAST
    memory = readings.value("overfit.share")
    by_heart = memory is not None and memory >= BY_HEART
    return [
        Finding(
            code=CODE,
            title="Nothing can be learned from these rows at any rate",
            severity="warning",
            standing="verified" if alike else "suspicion",
            cause="label_corruption",
            why="On rows that were held out no rate does better than one constant answer to all of them: the target "
            "does not seem to depend on the inputs.",
            evidence=(
                Evidence("held-out loss, the best of the longest lanes", number(longest.value), "below the next line"),
                *evidence("held-out loss of the best constant answer", readings.last("race.constant")),
                *(
                    (Evidence("gain of the real labels over permuted ones", percent(permuted.difference)),)
                    if permuted
                    else ()
                ),
            ),
            excluded=(Excluded("the network", "it learns a few rows by heart"),) if by_heart else (),
            remedies=(
                Remedy(
                    "Look at rows with their labels after all preparation: were inputs or labels sorted or shuffled "
                    "alone? Join them again by their key.",
                    "manual",
                ),
            ),
        )
    ]

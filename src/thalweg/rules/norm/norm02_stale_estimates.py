"""# NORM02: running estimates that are not those of the data

## What it does
Measures the running mean and variance of every batch norm anew on the training rows, for the weights as they are, and
scores the network with them on the validation rows.

## Why it is bad
In evaluation a batch norm uses its running estimates. Where they are stale or biased (a momentum of 0, or so small that
the start is still in them; so large that they are those of the last batch; estimates overwritten or never updated) the
network that was trained is not the network that answers.

## Evidence used
- `twin.recalibrated.*`: scores on the validation rows with the estimates as they are, and measured anew.
  An error where they are so far apart that the first is below 0.8 of the second, beyond a constant answer.
- `norm.momentum`: how much of an estimate each batch replaces.

## Known limits
Nothing is measured where the training reaches most of what there is. Norms that are kept in evaluation mode on purpose,
as in a pretrained part, are left as they are. Where batches are too small for a batch norm, that is NORM01's.

## Remedies
- Measure the estimates anew after the training (safe).
- Leave the momentum at 0.1 (changes training).

## References
Lecture row L16; Wu and Johnson, "Rethinking 'Batch' in BatchNorm" (2021), precise batch norm.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import harm
from thalweg.rules.norm.norm01_small_batch import judge as noisy
from thalweg.rules.trial import number

CODE = "NORM02"
NAME = "stale running estimates"
STAGE = "training"
NEEDS = ("twin.recalibrated.difference",)


def judge(readings: Readings) -> list[Finding]:
    cost = harm(readings, "recalibrated")
    if cost is None or (cost.difference.low or 0.0) <= 0 or any(found.counts for found in noisy(readings)):
        return []
    momenta = sorted({reading.value for reading in readings.of("norm.momentum")})
    return [
        Finding(
            code=CODE,
            title=f"With running estimates measured anew, {cost.plain.note} is {number(cost.changed.value)} "
            f"instead of {number(cost.plain.value)}",
            severity="error" if cost.harmed else "note",
            standing="verified",
            cause="train_eval_mode",
            why="Evaluation normalizes by running estimates that are not the mean and variance of the data: another "
            "network answers than the one that was trained.",
            evidence=(
                *cost.evidence("estimates measured anew on the training rows"),
                *(
                    (Evidence("momentum of the batch norms", ", ".join(map(number, momenta)), "0.1 is usual"),)
                    if momenta
                    else ()
                ),
            ),
            excluded=cost.excluded,
            remedies=(
                Remedy("Measure the running estimates anew on the training rows after the training.", "safe"),
                Remedy("Leave the momentum of batch norm at 0.1.", "changes training"),
            ),
        )
    ]

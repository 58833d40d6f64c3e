"""# NORM01: batch norm with few values

## What it does
Counts how many values per channel a batch norm has for its mean and variance, rows of a batch times places, and where
they are few trains the same network with group norm on the same batches.

## Why it is bad
A batch norm divides by what it estimates from the batch. With n independent values the mean is off by 1/√n of a
deviation; with two of them the result is +1 and −1 whatever the values were: only their order is left. And evaluation
uses running estimates that no batch of the training ever looked like.

## Evidence used
- `norm.values`: values per channel in a batch of the training, counted at every batch norm.
- `probe.group_norm.*`: before the training, short paired trainings at its own batch size, with and without group norm.
- `twin.group_norm.*`: after it, the whole training once more with group norm, and a control in another order; of two
  values, where that does not help either, `twin.larger_batch.*` at the same rate, for the same number of steps.
- `norm.output_gap`: how far outputs of a batch in training are from those in evaluation, as a share of their deviation.

## Known limits
Judged from 8 values per channel downwards; from there on batch norm was no worse than group norm on small problems.
Values at places of one image are alike, so that their number says too much. Without time for a probe it is a suspicion
for two values, and nothing for more.

## Remedies
- Larger batches: 16 rows or more (changes training).
- Group norm or layer norm, which need no batch (changes training).

## References
Lecture row L17; Wu and He, "Group normalization" (ECCV 2018), figure 1; Ioffe, "Batch renormalization" (NIPS 2017).
"""

from thalweg.findings import Evidence, Finding, Remedy, Severity, Standing
from thalweg.readings import Readings
from thalweg.rules.harm import harm
from thalweg.rules.trial import number, trial

CODE = "NORM01"
NAME = "batch norm with few values"
STAGE = "check"
NEEDS = ("norm.values",)

FEW_VALUES = 8  # benchmarks/normalization.py: no worse than group norm at batches of 4 rows, and failed at 2
PAIR = 2  # values that leave +1 and -1
REMEDIES = (
    Remedy("Train with batches of 16 rows or more.", "changes training", {"batch_size": 32}),
    Remedy("Use group norm or layer norm in its place.", "changes training"),
)


def fewest(readings: Readings) -> float:
    """The smallest number of values per channel of any batch norm; 0 where there is none."""
    return min((reading.value for reading in readings.of("norm.values")), default=0.0)


def judge(readings: Readings) -> list[Finding]:
    values = fewest(readings)
    if values > FEW_VALUES:
        return []
    whole, larger = harm(readings, "group_norm"), harm(readings, "larger_batch")
    short = trial(readings, "group_norm")
    if whole is not None and whole.harmed:
        cost, excluded, harmed = whole.evidence("group norm"), whole.excluded, True
    elif larger is not None and larger.harmed:
        cost, excluded, harmed = larger.evidence("batches of 32 rows, as many steps"), larger.excluded, True
    elif short is not None and short.decisive and not (whole is not None and whole.harmless):
        cost, excluded, harmed = short.evidence("group norm"), (), True
    else:
        cost, excluded, harmed = (), (), False
    if not harmed and values > PAIR:
        return []
    unknown = whole is None and short is None
    severity: Severity = "error" if harmed else "warning" if unknown else "note"
    standing: Standing = "suspicion" if unknown else "proven" if values <= PAIR else "verified"
    places = [reading for reading in readings.of("norm.values") if reading.value <= FEW_VALUES]
    gap = readings.last("norm.output_gap")
    return [
        Finding(
            code=CODE,
            title=f"Batch norm has {number(values)} values per channel to normalize by",
            severity=severity,
            standing=standing,
            cause="batchnorm_small_batch",
            why="Of two values only their order is left after normalizing: the result is +1 and -1 whatever they were."
            if values <= PAIR
            else "Mean and variance of so few values are mostly noise, and evaluation uses other ones.",
            place=places[0].place,
            evidence=(
                Evidence("rows of a batch", f"{places[0].count}"),
                Evidence("values per channel, fewest of all batch norms", number(values), f"{FEW_VALUES}"),
                Evidence("batch norms with so few", f"{len(places)} of {len(readings.of('norm.values'))}"),
                *(
                    (Evidence("training against evaluation, of the outputs' deviation", number(gap.value)),)
                    if gap
                    else ()
                ),
                *cost,
            ),
            excluded=excluded,
            remedies=REMEDIES,
        )
    ]

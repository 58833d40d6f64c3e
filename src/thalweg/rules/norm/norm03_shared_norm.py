"""# NORM03: one batch norm at places that differ

## What it does
Finds a batch norm that is called several times in one forward pass, on inputs of clearly different mean or variance.

## Why it is bad
In training each call normalizes by its own batch. The running estimates are shared: they end between those of the
calls, and fit none. In evaluation every place is shifted and stretched, and the network that answers is not the one
that was trained.

## Evidence used
- `norm.apart`: how far one shared mean and variance moves the outputs of the call that differs most, in deviations.
- `twin.own_norms.*`: after the training, the whole of it again with a norm for each call. It is an alarm where the
  training reaches less than 0.8 of what the twin reaches beyond a constant answer, beyond two standard errors.

## Known limits
One encoder for two inputs of a kind (a siamese network) sees the same statistics in both calls and passes. The
statistics are those of the start; they may move apart later. Without harm by the twin it is a note.

## Remedies
- Make a norm of its own for each place (changes training).

## References
Lecture row L16; Ioffe and Szegedy, "Batch Normalization" (2015), section 3.1; PyTorch documentation of nn.BatchNorm2d.
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import harm
from thalweg.rules.trial import number

CODE = "NORM03"
NAME = "one batch norm at places that differ"
STAGE = "check"
NEEDS = ("norm.apart",)

APART = 0.3  # deviations: two calls on 32 rows of one distribution are 0.11 apart on average, 0.21 at most of 200


def judge(readings: Readings) -> list[Finding]:
    found = [r for r in readings.of("norm.apart") if r.value > APART]
    if not found:
        return []
    worst = max(found, key=lambda r: r.value)
    cost = harm(readings, "own_norms")
    harmed = cost is not None and cost.harmed
    return [
        Finding(
            code=CODE,
            title=f"One {worst.note} normalizes at {worst.count} places whose inputs differ",
            severity="error" if harmed else "note",
            standing="verified" if harmed else "proven",
            cause="train_eval_mode",
            why="All places share one running mean and variance, which fits none of them: evaluation normalizes "
            "otherwise than training did.",
            place=worst.place,
            evidence=(
                Evidence(
                    "change of its outputs by the shared estimates, in deviations", number(worst.value), f"{APART:g}"
                ),
                *(cost.evidence("a norm for each place") if cost is not None and harmed else ()),
            ),
            excluded=(
                Excluded("sharing on purpose", "two calls on rows of one kind have the same mean and variance"),
                *(cost.excluded if cost is not None and harmed else ()),
            ),
            remedies=(Remedy("Make a batch norm of its own for each place.", "changes training"),),
            remedied=cost.remedied if cost is not None and harmed else None,
        )
    ]

"""# LOSS03: a loss that mixes rows

## What it does
Replaces the outputs of half of the rows and looks whether the loss's gradient for the other rows turns.

## Why it is bad
A row's gradient should follow from its own output and target. A softmax, a mean or a deviation over dimension 0 inside
of the loss ties each row to those it happens to be with: outputs are right relative to the batch only, and what is
answered for a row alone is another thing than what was trained.

## Evidence used
- `loss.mixing`: the part of the first half's gradient that is new when the other half's outputs change, a common factor
  left aside. 0 for every sum, mean or weighted mean over rows, and for the root of one.
- `twin.likelihood.*`: after a training that stayed below what is possible, the whole of it again with cross-entropy on
  free outputs. It makes the note an alarm.

## Known limits
Losses that compare rows on purpose (contrastive, ranking, Dice over a batch, hard-example mining) mix them: without
harm it is a note. Of regressions no twin is trained. A loss that draws random numbers is not judged.

## Remedies
- Normalize over the classes, dim=1 or -1, and take the mean over rows last (manual).

## References
Lecture row L35; Karpathy, "A Recipe for Training Neural Networks" (2019): use backprop to chart dependencies.
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import harm, works
from thalweg.rules.loss.loss02_head_mismatch import MIXED, mixes, proven
from thalweg.rules.trial import number

CODE = "LOSS03"
NAME = "rows mixed by the loss"
STAGE = "check"
NEEDS = ("loss.mixing",)


def judge(readings: Readings) -> list[Finding]:
    mixed = readings.last("loss.mixing")
    assert mixed is not None
    if not mixes(readings) or proven(readings) is not None:
        return []
    cost = harm(readings, "likelihood")
    harmed = cost is not None and cost.harmed and not works(readings)
    return [
        Finding(
            code=CODE,
            title="The loss of a row depends on the outputs of the other rows of its batch",
            severity="error" if harmed else "note",
            standing="verified" if harmed else "proven",
            cause="loss_head_mismatch",
            why="Something in the loss runs over the rows: a softmax, a mean or a deviation along dimension 0.",
            evidence=(
                Evidence("part of a row's gradient that is new with other rows", number(mixed.value), f"{MIXED:g}"),
                *(cost.evidence("cross-entropy on free outputs") if cost is not None and harmed else ()),
            ),
            excluded=(
                Excluded("a common factor", "the root of a mean or a sum of weights changes all rows alike"),
                *(cost.excluded if cost is not None and harmed else ()),
            ),
            remedies=(Remedy("Normalize along the classes, and take the mean over the rows last.", "manual"),),
            remedied=cost.remedied if cost is not None and harmed else None,
        )
    ]

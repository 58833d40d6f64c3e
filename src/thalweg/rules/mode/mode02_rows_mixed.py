"""# MODE02: answers that depend on the other rows

## What it does
Replaces half of a batch in evaluation mode and looks whether the answers to the other half change. Where a recurrent
or attention layer takes sequences in dimension 0, it trains the network once more with rows there.

## Why it is bad
An answer should be that of its row. A layer that expects [sequence, batch, features] and gets [batch, sequence,
features] runs along the rows; a normalization by the batch gives other answers in other company; a softmax over
dimension 0 shares one among all rows.

## Evidence used
- `mode.mixing`: change of the outputs of the rows that stay, in evaluation mode, relative to their deviation.
- `mode.mixing_batch_first`: the same once all recurrent and attention layers take rows in dimension 0.
- `norm.tracked`: batch norms without running estimates.
- `twin.batch_first.*`: after the training, the whole of it with rows in dimension 0.

## Known limits
Comparing rows can be meant: a set, a graph, a contrastive loss. Without harm by the twin it is a note. A softmax over
the batch at the end is LOSS02's.

## Remedies
- `batch_first=True` for recurrent and attention layers (changes training).
- Running estimates for batch norm: `track_running_stats=True` (changes training).

## References
Lecture row L16; Karpathy, "A Recipe for Training Neural Networks" (2019): use backprop to chart dependencies.
"""

from thalweg.findings import Cause, Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import harm
from thalweg.rules.trial import number

CODE = "MODE02"
NAME = "rows mixed"
STAGE = "check"
NEEDS = ("mode.mixing",)

MIXED = 1e-3  # of the rows' deviation; sums in blocks of other sizes differ by 1e-6 to 1e-5, in bf16 they are equal too


def judge(readings: Readings) -> list[Finding]:
    mixed, flipped = readings.value("mode.mixing"), readings.value("mode.mixing_batch_first")
    if mixed is None or mixed <= MIXED or readings.value("head.dim") == 0:
        return []
    cost = harm(readings, "batch_first")
    harmed = cost is not None and cost.harmed
    by_layout = flipped is not None and flipped <= MIXED
    untracked = [r.place for r in readings.of("norm.tracked") if r.value == 0]
    cause: Cause = "train_eval_mode" if untracked and not by_layout else "rows_mixed"
    why = "Something in the network runs along the rows or takes a mean over them."
    remedy = Remedy("Look for an operation along dimension 0: a mean, a softmax, a reshape.", "manual")
    if by_layout:
        why = "A recurrent or attention layer takes dimension 0 for the sequence and runs along the rows."
        remedy = Remedy("Make these layers with batch_first=True.", "changes training")
    elif untracked:
        why = "A batch norm without running estimates normalizes by whatever rows are evaluated together."
        remedy = Remedy("Keep running estimates: track_running_stats=True.", "changes training")
    return [
        Finding(
            code=CODE,
            title="In evaluation mode the answer to a row depends on the other rows of its batch",
            severity="error" if harmed else "note",
            standing="proven",
            cause=cause,
            why=why,
            place=untracked[0] if untracked and not by_layout else "",
            evidence=(
                Evidence("change when the other rows are replaced, of the deviation", number(mixed), f"{MIXED:g}"),
                *((Evidence("the same with batch_first=True", number(flipped)),) if flipped is not None else ()),
                *(cost.evidence("batch_first=True") if cost else ()),
            ),
            excluded=(Excluded("rounding", f"{number(mixed)} is far above 1e-5"), *(cost.excluded if cost else ())),
            remedies=(remedy,),
        )
    ]

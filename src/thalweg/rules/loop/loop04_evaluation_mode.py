"""# LOOP04: trained in evaluation mode

## What it does
Looks at the mode of the network in its training passes.

## Why it is bad
In evaluation mode a batch norm divides by its running estimates instead of the batch's, and never learns these: fresh
from its making it does nothing at all. Dropout does nothing either.

## Evidence used
- `loop.eval_training`: share of the training passes in which batch norms and dropouts were all in evaluation mode;
  `loop.eval_network`: in which the network itself was.
- `loop.fresh_norms`: whether the running estimates are still mean 0 and variance 1. With the whole network in
  evaluation mode it is an error then. Norms of a pretrained network are often kept fixed on purpose: that is a note, as
  is dropout alone, unless the twin in training mode does much better.

## Known limits
Dropout called as a function is seen through the mode of the whole network only where other layers ask for it.

## Remedies
- `model.train()` before the training passes, after each evaluation (manual).

## References
PyTorch documentation of nn.Module.train and of nn.BatchNorm2d.
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.loop.repaired import excluded, lines, repaired

CODE = "LOOP04"
NAME = "trained in evaluation mode"
STAGE = "training"
NEEDS = ("loop.eval_training",)

ALL = 0.99  # of the training passes
LEAST = 2


def judge(readings: Readings) -> list[Finding]:
    found = readings.last("loop.eval_training")
    assert found is not None
    if found.value < ALL or (found.count or 0) < LEAST:
        return []
    fresh = readings.value("loop.fresh_norms") == 1
    whole = (readings.value("loop.eval_network") or 0.0) >= ALL  # layers alone may have been set so on purpose
    idle = fresh or "batch norm" not in found.note
    does = ("do nothing" if idle else "do not learn") if " and " in found.note else "does nothing" if idle else ""
    twin = repaired(readings)
    harmed = twin is not None and twin.harmed
    return [
        Finding(
            code=CODE,
            title=f"The network is trained in evaluation mode: its {found.note} {does or 'does not learn'}",
            severity="error" if (fresh and whole) or harmed else "note",
            standing="proven" if (fresh and whole) or not harmed else "verified",
            cause="train_eval_mode",
            why="model.eval() was called, or model.train() was not called after it.",
            step=0,
            evidence=(
                Evidence("training passes in evaluation mode", f"{found.count} of {found.count}"),
                *((Evidence("running estimates", "still mean 0 and variance 1"),) if fresh else ()),
                *lines(twin, "in training mode"),
            ),
            excluded=(
                *((Excluded("norms kept fixed on purpose", "their estimates were never fitted"),) if fresh else ()),
                *excluded(twin),
            ),
            remedies=(Remedy("Call model.train() before the training passes, after each evaluation.", "manual"),),
        )
    ]

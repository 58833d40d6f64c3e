"""# LOOP05: evaluated in training mode

## What it does
Looks at the mode of the network in passes without gradient, which is how rows are evaluated.

## Why it is bad
A batch norm then answers by the statistics of the rows it is evaluated on, and moves its running estimates by them;
dropout throws away units. The figures are not those of the network that will be used.

## Evidence used
- `loop.train_validation`: share of passes without gradient in which batch norms or dropouts were in training mode.
- `twin.evaluation_mode`: scores of the last weights on the rows seen, in the loop's mode and in evaluation mode. It is
  an alarm where the first is below 0.8 of the second, beyond two standard errors.

## Known limits
Passes with dropout over the same rows several times are an average over masks (Gal and Ghahramani 2016), not a
mistake, and not judged.

## Remedies
- `model.eval()` before the evaluation, `model.train()` after it (manual).

## References
PyTorch documentation of nn.Module.eval; Gal and Ghahramani, "Dropout as a Bayesian Approximation" (ICML 2016).
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import SHARE, harm
from thalweg.rules.loop.repaired import MOST
from thalweg.rules.trial import number

CODE = "LOOP05"
NAME = "evaluated in training mode"
STAGE = "training"
NEEDS = ("loop.train_validation",)


def judge(readings: Readings) -> list[Finding]:
    found = readings.last("loop.train_validation")
    assert found is not None
    if found.value <= MOST or "same rows" in found.note:
        return []
    gap = harm(readings, "evaluation_mode")
    harmed = gap is not None and gap.harmed
    scores: tuple[Evidence, ...] = ()
    if gap is not None:
        scores = (
            Evidence(f"{gap.plain.note} in training mode", number(gap.plain.value),
                     f"{SHARE:g} of the next beyond {number(gap.constant)}"),
            Evidence("the same in evaluation mode", number(gap.changed.value)),
        )  # fmt: skip
    return [
        Finding(
            code=CODE,
            title=f"The network is evaluated in training mode, with {found.note}",
            severity="error" if harmed else "note",
            standing="verified" if harmed else "proven",
            cause="train_eval_mode",
            why="Passes without gradient run with the statistics of their own batch or with units thrown away.",
            evidence=(
                Evidence("passes without gradient in training mode", f"{100 * found.value:.0f} % of {found.count}"),
                *scores,
            ),
            excluded=(Excluded("chance", "two paired standard errors over the rows"),) if harmed else (),
            remedies=(Remedy("Call model.eval() before the evaluation and model.train() after it.", "manual"),),
        )
    ]

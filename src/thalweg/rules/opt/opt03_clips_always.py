"""# OPT03: clipping that always bites

## What it does
Notes a limit of the gradient's norm that at least nine of ten watched steps exceed, and reports it as a fault when a
twin of the training without the limit reaches so much more that the training stays below 0.8 of it.

## Why it is bad
A limit is meant for rare, large gradients. One that always bites sets the length of every step: the rate then means
something else, and steps do not become shorter near a minimum.

## Evidence used
- `clipping.share` of the watched steps whose gradient was clipped, and the median norm in units of the limit.
- `twin.no_clipping`: the training again without the limit, its score on the validation rows beside the training's.

## Known limits
Adam's steps hardly depend on the gradient's size, so that clipping does little there either way. Limits by value and in
proportion to the weights are not counted.

## Remedies
- A limit near the largest usual norm, or none (changes training).

## References
Lecture row L28; Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks".
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number
from thalweg.rules.twins import shown

CODE = "OPT03"
NAME = "clipping that always bites"
STAGE = "training"
NEEDS = ("clipping.share",)

TWIN = "no_clipping"
ALWAYS = 0.9  # of the steps: the limit is then the rule and not the exception it is meant for
FEWEST = 10  # watched steps


def judge(readings: Readings) -> list[Finding]:
    share, tried = readings.last("clipping.share"), shown(readings, TWIN)
    assert share is not None
    always = share.value >= ALWAYS and (share.count or 0) >= FEWEST
    if tried is None and not always:
        return []
    lines = (
        Evidence(f"clipped of {share.count} watched steps", f"{100 * share.value:.0f} %", f"{100 * ALWAYS:.0f} %"),
        Evidence("median norm of the gradient, in units of the limit", share.note or "?"),
    )
    end = "" if tried is None else f": without the limit it reaches {tried.reached}"
    instead = "" if tried is None else f" instead of {number(tried.harm.plain.value)}"
    return [
        Finding(
            code=CODE,
            title=f"The gradient is clipped in {100 * share.value:.0f} % of the steps{end}{instead}",
            severity="note" if tried is None else tried.severity,
            standing="proven" if tried is None else tried.standing,
            cause="optimizer_unsuitable",
            why="The limit sets the length of every step instead of stopping rare large ones.",
            evidence=(*(tried.evidence("no limit") if tried is not None else ()), *lines),
            excluded=tried.excluded if tried is not None else (),
            remedies=(
                Remedy("Raise the limit to a few times the median norm, or leave it out.", "changes training",
                       {"clip_norm": None}),
            ),
            remedied=tried.harm.remedied if tried is not None else None,
        )
    ]  # fmt: skip

"""# OPT02: unsuitable optimizer or constants

## What it does
Trains twins of a poor training with one thing about its optimizer changed: an odd epsilon at 1e-8, a momentum above
0.97 at 0.9, or Adam at its standard rate in the place of another optimizer. It reports what makes the training reach so
much more that it stays below 0.8 of it, where no other rate of the same optimizer does as well.

## Why it is bad
An epsilon above the size of the gradients turns Adam into slow gradient descent; one below the smallest number makes it
divide noise by noise. A momentum near 1 carries a step on for hundreds of others. Plain gradient descent gets nowhere
where layers have gradients of very different size.

## Evidence used
- `twin.epsilon`, `twin.momentum`, `twin.adam`: the training again with the change, its score on the validation rows
  beside the training's, paired over the rows, repeated in another order of rows where there was time.

## Known limits
Only these three are tried. Where a lower or higher rate of the same optimizer mends it as well, the rate is named.

## Remedies
- The standard constants, or Adam (changes training).

## References
Lecture row L26; Kingma and Ba 2015, "Adam: a method for stochastic optimization".
"""

from thalweg.findings import Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number
from thalweg.rules.twins import Twin, shown

CODE = "OPT02"
NAME = "unsuitable optimizer"
STAGE = "training"
NEEDS = ("twin.plain",)

FIELDS = {"epsilon": "optimizer.eps", "momentum": "optimizer.momentum"}


def judge(readings: Readings) -> list[Finding]:
    return [told(tried) for name in (*FIELDS, "adam") if (tried := shown(readings, name)) is not None]


def told(tried: Twin) -> Finding:
    """The finding of one change."""
    what = f"{tried.name} {tried.setting:g}" if tried.name in FIELDS else f"Adam at {tried.setting:g}"
    field = FIELDS.get(tried.name)
    return Finding(
        code=CODE,
        title=f"The optimizer does not suit: with {what} the training reaches {tried.reached} instead of "
        f"{number(tried.harm.plain.value)}",
        severity=tried.severity,
        standing=tried.standing,
        cause="optimizer_unsuitable",
        why="Its steps have the wrong size for some of the weights, whatever the rate.",
        place="" if field is None else field,
        evidence=tried.evidence(what),
        excluded=tried.excluded,
        remedies=(Remedy(f"Train with {what}.", "changes training", {field: tried.setting} if field else {}),),
        remedied=tried.harm.remedied,
    )

"""# REG01: too much dropout

## What it does
Trains a twin of a poor training without any dropout, from the same start on the same batches, and reports the dropout
when the training stays below 0.8 of what the twin reaches beyond a constant answer.

## Why it is bad
Dropout hides so much of each row, or of what a layer made of it, that nothing is left to learn from: the network
underfits even the rows it trains on. Before an input layer it takes away what no later layer can bring back.

## Evidence used
- `twin.no_dropout`: the training again with every dropout module at 0, its score on the validation rows beside the
  training's, paired over the rows, repeated in another order of rows where there was time.
- `dropout.p` of every module that drops something.

## Known limits
Dropout that a forward pass calls as a function with a number of its own is not seen. A little less dropout may do still
better than none. Without a twin, a probability of 0.8 and more in a training that learned little is a suspicion.

## Remedies
- No dropout, or at most 0.2 to 0.5 between fully connected layers (changes training).

## References
Lecture row L30; Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting", who keep
0.8 of the inputs and 0.5 of hidden units.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.trial import number
from thalweg.rules.twins import cannot_be_harmed, not_better, shown

CODE = "REG01"
NAME = "too much dropout"
STAGE = "training"
NEEDS = ("twin.plain",)

TWIN = "no_dropout"
MOST = 0.8  # of the outputs dropped: four times what is left of the largest usual probability, 0.5
LITTLE = 0.5  # of all there is beyond a constant answer
WHY = "So much of each row is hidden that the network cannot learn from what is left."


def judge(readings: Readings) -> list[Finding]:
    drops = readings.of("dropout.p")
    if not drops:
        return []
    most, tried = max(drops, key=lambda r: r.value), shown(readings, TWIN)
    remedies = (Remedy("Take the dropout out, or keep it at 0.2 to 0.5 in the last layers.", "changes training"),)
    lines = tuple(Evidence(f"dropout at {r.place}", f"{r.value:g}") for r in strongest(drops))
    if tried is not None:
        return [
            Finding(
                code=CODE,
                title=f"Dropout of {most.value:g} costs more than it gains: without it the training reaches "
                f"{tried.reached} instead of {number(tried.harm.plain.value)}",
                severity=tried.severity,
                standing="verified" if most.value >= MOST else tried.standing,
                cause="dropout_excess",
                why=WHY,
                place=most.place,
                evidence=(*tried.evidence("no dropout"), *lines),
                excluded=tried.excluded,
                remedies=remedies,
                remedied=tried.harm.remedied,
            )
        ]
    reached, constant = readings.value("twin.plain"), readings.value("twin.constant")
    assert reached is not None
    little = constant is not None and reached - constant < LITTLE * (1 - constant)
    if most.value < MOST or not little or cannot_be_harmed(readings) or not_better(readings, TWIN):
        return []
    return [
        Finding(
            code=CODE,
            title=f"Dropout of {most.value:g} leaves hardly anything to learn from",
            severity="warning",
            standing="suspicion",
            cause="dropout_excess",
            why=WHY,
            place=most.place,
            evidence=(*lines, Evidence("score on validation rows", number(reached))),
            remedies=remedies,
        )
    ]


def strongest(drops: list[Reading]) -> list[Reading]:
    """The five largest probabilities."""
    return sorted(drops, key=lambda r: -r.value)[:5]

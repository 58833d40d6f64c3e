"""# REG02: decay that dominates

## What it does
Trains a twin of a poor training without weight decay and without its regularizer, from the same start on the same
batches, and reports the decay when the training stays below 0.8 of what the twin reaches beyond a constant answer.

## Why it is bad
The penalty pulls the weights to zero as hard as the loss pulls them away. They stand still where both pulls are equal,
far from what the loss asks for: the network underfits, whatever its size and however long it trains.

## Evidence used
- `twin.no_decay`: the training again without decay and regularizer, its score on the validation rows beside the
  training's, paired over the rows, repeated in another order of rows where there was time.
- `decay.balance` at the last weights: the share of the loss's own gradient, over the weights that decay acts on, that
  the penalty's gradient takes back; 1 where the weights stand still. `decay.ratio`: the ratio of their norms.

## Known limits
Every training with decay ends near a balance if it goes on for long enough; the balance alone does not say that the
place is a bad one, which the twin does. Decay apart from the gradient (AdamW) is compared with the plain gradient,
which its steps are not proportional to. Without a twin nothing is reported.

## Remedies
- No decay, or a hundredth of it (changes training).

## References
Lecture row L29; Krogh and Hertz 1991, "A simple weight decay can improve generalization".
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.trial import number
from thalweg.rules.twins import shown

CODE = "REG02"
NAME = "decay that dominates"
STAGE = "training"
NEEDS = ("twin.plain",)

TWIN = "no_decay"
BALANCED = 0.5  # of the loss's gradient taken back: the penalty decides where the weights stand
A_HUNDREDTH = 0.01


def judge(readings: Readings) -> list[Finding]:
    tried = shown(readings, TWIN)
    if tried is None:
        return []
    balance, ratio = readings.value("decay.balance"), readings.value("decay.ratio")
    dominates = balance is not None and balance >= BALANCED
    lines = []
    if balance is not None and ratio is not None:
        lines.append(Evidence("share of the loss's gradient that decay takes back", f"{100 * balance:.0f} %"))
        lines.append(Evidence("size of the decay's gradient to the loss's", number(ratio)))
    less = {"optimizer.weight_decay": float(f"{A_HUNDREDTH * tried.setting:.2g}")}
    return [
        Finding(
            code=CODE,
            title=f"Weight decay dominates: without it the training reaches {tried.reached} instead of "
            f"{number(tried.harm.plain.value)}",
            severity=tried.severity,
            standing="verified" if dominates else tried.standing,
            cause="underfitting",
            why="The penalty pulls the weights to zero as hard as the loss pulls them away.",
            evidence=(*tried.evidence("no decay"), *lines),
            excluded=tried.excluded,
            remedies=(
                Remedy("Take a hundredth of the decay, or none.", "changes training", less)
                if tried.setting
                else Remedy("Leave the regularizer out, or weaken it.", "changes training", {"regularizer": None}),
            ),
            remedied=tried.harm.remedied,
        )
    ]

"""# INIT02: signal grows through depth

## What it does
Finds networks through which the differences between rows grow a hundredfold and more from the first hidden layer to
the last, at the start, and says what another scale of the initial weights would have reached.

## Why it is bad
The outputs are large before anything was learned, gradients are as large as the layers' product, and the first steps go
into undoing them. A little deeper, the numbers leave the range of float32.

## Evidence used
- `depth.forward`: the root mean square of each weight layer's outputs around their mean over rows, and the slope of its
  logarithm per layer with a 95 % interval; `depth.backward`, the same of the gradient of the loss.
- Harm is shown by a twin: the same training with weights rescaled so that each layer's outputs have deviation 1. It is
  an alarm when the training reaches less than 0.8 of what the twin does beyond a constant answer, on validation rows,
  beyond two standard errors, and when another order of the rows does not explain it.

## Known limits
Before the training has ended growth is a suspicion; where the twin is no better it is a note. Numbers that are no
longer finite at the start are told by LOSS01. Layers of the user's own are not looked at, only torch's linear and
convolution layers.

## Remedies
- Draw the weights by He or Xavier, or rescale them on data: `Plan(initialization=...)` (changes training).
- Put a normalization between the layers (manual).

## References
Lecture row L10; He et al., "Delving Deep into Rectifiers" (ICCV 2015); Mishkin and Matas, "All you need is a good
init" (ICLR 2016).
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import harm
from thalweg.rules.signal import GROWN, RESCALE, ends, explodes, growth, slopes
from thalweg.rules.trial import number

CODE = "INIT02"
NAME = "exploding signal"
STAGE = "check"
NEEDS = ("depth.forward",)


def judge(readings: Readings) -> list[Finding]:
    if not explodes(readings):
        return []
    found = harm(readings, RESCALE)
    harmed, harmless = found is not None and found.harmed, found is not None and found.harmless
    times = growth(readings) or 0.0
    last = readings.of("depth.forward")[-1]
    return [
        Finding(
            code=CODE,
            title=f"The signal grows {number(times)}-fold through the hidden layers",
            severity="note" if harmless else "warning",
            standing="verified" if harmed else "proven" if harmless else "suspicion",
            cause="init_scale" if harmed else "exploding",
            why="Each layer multiplies the differences between rows, and the gradients on their way back: the outputs "
            "are large and wrong before anything was learned.",
            place=last.place,
            evidence=(
                Evidence("largest spread over that of the first hidden layer", number(times), f"{GROWN:g}"),
                *slopes(readings),
                *ends(readings),
                *(found.evidence("rescaled initial weights") if found and (harmed or harmless) else ()),
            ),
            excluded=found.excluded if found and harmed else (Excluded("input scale", "taken after the first layer"),),
            remedies=(
                Remedy("Draw the weights by He or Xavier, or rescale them on data.", "changes training"),
                Remedy("Put a normalization between the layers.", "manual"),
            ),
            remedied=found.remedied if found and harmed else None,
        )
    ]

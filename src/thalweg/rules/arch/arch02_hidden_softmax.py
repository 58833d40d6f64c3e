"""# ARCH02: softmax between layers

## What it does
Finds a softmax whose result goes into another linear or convolution layer, and tries the training with ELU instead.

## Why it is bad
A softmax makes its outputs sum to one: of many channels each gets a small number, and a change of all of them together
is lost. Little of the differences between rows, and little of the gradient, passes.

## Evidence used
- `softmax.hidden`: calls of softmax or log-softmax that reach a weight layer in autograd's graph, as modules or as
  functions. At the end of the network it is a head; multiplied with another tensor it is attention or a gate; neither
  is counted.
- Harm is shown by a twin: the same training with ELU there. It is an alarm when the training reaches less than 0.8 of
  what the twin does beyond a constant answer, on validation rows, beyond two standard errors, and when another order of
  the rows does not explain it.

## Known limits
A network that hands probabilities on purpose from one part to the next is a note, unless the twin shows that it loses.

## Remedies
- Use ReLU, ELU or GELU between layers; keep softmax for the output (changes training).

## References
Braiek and Khomh, "Testing Feedforward Neural Networks Training Programs" (TOSEM 2023), where it is a seeded fault.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import harm
from thalweg.rules.trial import number

CODE = "ARCH02"
NAME = "softmax between layers"
STAGE = "check"
NEEDS = ("parameter.trainable",)
NAME_OF_TWIN = "hidden_softmax"


def judge(readings: Readings) -> list[Finding]:
    hidden = readings.last("softmax.hidden")
    if hidden is None:
        return []
    found = harm(readings, NAME_OF_TWIN)
    harmed = found is not None and found.harmed
    name = hidden.note or "softmax"
    more = f" and at {hidden.value - 1:.0f} more places" if hidden.value > 1 else ""
    return [
        Finding(
            code=CODE,
            title=f"A {name.replace('_', '-')} stands between layers" + more,
            severity="warning" if harmed else "note",
            standing="verified" if harmed else "proven",
            cause="vanishing",
            why="Its outputs sum to one, so that each of many is small and what they have in common is lost: little of "
            "the differences between rows and of the gradient passes.",
            place=hidden.place,
            evidence=(
                Evidence(f"calls of {name} that feed a weight layer", number(hidden.value), "0"),
                *(found.evidence("ELU instead") if found else ()),
            ),
            excluded=found.excluded if found and harmed else (),
            remedies=(
                Remedy("Use ReLU, ELU or GELU between layers; keep softmax for the output.", "changes training"),
            ),
            remedied=found.remedied if found and harmed else None,
        )
    ]

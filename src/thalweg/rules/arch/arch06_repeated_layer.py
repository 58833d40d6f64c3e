"""# ARCH06: one layer in several places

## What it does
Finds a module with weights that a Sequential, ModuleList or ModuleDict holds several times, as `[layer] * 6` makes it.

## Why it is bad
A list that is multiplied repeats the same object: six places share one set of weights, where six were probably meant.
The network has a fraction of its weights, and one map must do for all depths.

## Evidence used
- `layer.repeated`: how often one container holds the same object.
- `twin.own_layers.*`: after the training, the whole of it again with a copy for each place, which begins as the same
  function. It is an alarm where the training reaches less than 0.8 of what the twin reaches beyond a constant answer,
  beyond two standard errors.

## Known limits
Sharing may be meant (ALBERT, recurrence in depth): without clear harm by the twin it is a note. Layers that are shared
otherwise, by calling one attribute several times or by tying weights, are taken as meant.

## Remedies
- Make each layer anew: `[make() for _ in range(6)]` (changes training).

## References
PyTorch documentation of nn.Sequential; Lan et al., "ALBERT" (ICLR 2020), for sharing on purpose.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import harm

CODE = "ARCH06"
NAME = "one layer in several places"
STAGE = "check"
NEEDS = ("layer.repeated",)


def judge(readings: Readings) -> list[Finding]:
    found = [r for r in readings.of("layer.repeated") if r.value > 1]
    if not found:
        return []
    most = max(found, key=lambda r: r.value * (r.count or 0))
    cost = harm(readings, "own_layers")
    harmed = cost is not None and cost.harmed
    others = f"; {len(found) - 1} more" if len(found) > 1 else ""
    return [
        Finding(
            code=CODE,
            title=f"One layer stands at {most.value:.0f} places and shares its weights among them{others}",
            severity="warning" if harmed else "note",
            standing="verified" if harmed else "proven",
            cause="underfitting",
            why="A list that is multiplied, [layer] * n, repeats one object instead of making n layers.",
            place=most.place,
            evidence=(
                Evidence("places of one container that hold the same object", f"{most.value:.0f}", "1"),
                Evidence("its weights", f"{most.count or 0:,}"),
                *(cost.evidence("a layer for each place") if cost is not None and harmed else ()),
            ),
            excluded=cost.excluded if cost is not None and harmed else (),
            remedies=(Remedy("Make each layer anew: [make() for _ in range(n)].", "changes training"),),
            remedied=cost.remedied if cost is not None and harmed else None,
        )
    ]

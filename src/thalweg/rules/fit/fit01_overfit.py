"""# FIT01: a few rows learned by heart

## What it does
Trains clones of the network on up to 32 rows with different inputs, whole batch, Adam at three rates, dropout off,
until one of them has removed nine tenths of what the best constant answer leaves. It reports networks that learn
nothing from these rows, and networks through which so little of the rows' differences passes that they stop early.

## Why it is bad
Learning a few rows by heart needs no generalization, no good rate and no regularization. A network that cannot do it is
broken on the way: the signal dies between two layers, units are dead, the loss cannot be reached, or the numbers are
of a scale that no step can bridge.

## Evidence used
- `overfit.share`: how much of the loss above the floor the best rate removed; `overfit.trend`: how much of it in the
  last fifth of the steps; both only where every rate had its steps.
- `flow.spread`: the root mean square difference between rows on entering each weight layer, at the start. It names the
  cause: dead where it is exactly zero, vanishing where less than a thousandth of it arrives.
- `input.rms`, `input.ratio`, `target.deviation`: scales that make the loss unreachable for small steps.

## Known limits
Contradictory labels of equal inputs are left out, those of nearly equal inputs are not. A linear model or a very small
one learns only a part, which is no fault and not reported. Neither is a network that still improves when the steps are
over, unless a paired probe shows that it learns twice as much with rescaled weights. Functional dropout stays on. Time
may run out before anything was shown; then it is not judged.

## Remedies
- Vanishing: He or Xavier initialization, ReLU instead of sigmoid, normalization or residual connections, fewer layers
  (changes training).
- Scales: standardize inputs and target (safe).

## References
Lecture row L35: overfit a small portion of the data; Glorot and Bengio (AISTATS 2010); He et al., "Delving Deep into
Rectifiers" (ICCV 2015).
"""

from thalweg.findings import Cause, Evidence, Excluded, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.trial import number, trial

CODE = "FIT01"
NAME = "overfit a few rows"
STAGE = "check"
NEEDS = ("overfit.share",)

FITTED = 0.9
NOTHING = 0.05  # of the learnable loss: less than a twentieth removed is nothing learned
FLAT = 0.02  # of the learnable loss in the last fifth of the steps: no longer falling
LOST = 1e-3  # of the differences between rows that reach the last layer: what trains well keeps 1 % and more
LARGE = 10.0  # an input scale a decade from 1
COLUMNS = 100.0  # a ratio of two columns' scales
MOST = 0.5  # of the weights: where more than these cannot learn, that is why
ADVICE: dict[Cause, Remedy] = {
    "parameters_not_trained": Remedy("Let these weights learn, or give the others enough to work with.", "manual"),
    "vanishing": Remedy(
        "Let the signal through: He or Xavier initialization, ReLU or SELU for sigmoid, a normalization or a residual "
        "connection every few layers, or fewer layers.",
        "changes training",
    ),
    "dead_units": Remedy("Use a leaky ReLU or He initialization, and fewer or wider layers.", "changes training"),
    "input_scale": Remedy("Standardize the inputs.", "safe", {"preprocessing": "standardize"}),
    "target_scale": Remedy("Standardize the target.", "safe", {"target_scaling": "standardize"}),
    "underfitting": Remedy("Give the network more units, or look at the layers before the last.", "manual"),
}


def judge(readings: Readings) -> list[Finding]:
    share = readings.value("overfit.share")
    trend = readings.value("overfit.trend")
    assert share is not None
    if share >= FITTED or trend is None:
        return []
    cause, evidence = cause_of(readings)
    if share < NOTHING and not trend > FLAT:
        return [finding(readings, share, cause, evidence, nothing=True)]
    rescaled = trial(readings, "rescale_weights")
    decisive = rescaled is not None and rescaled.decisive
    if cause in ("vanishing", "dead_units") and (trend <= FLAT or decisive):
        if rescaled is not None and decisive:
            evidence += rescaled.evidence("rescaled initial weights")
        return [finding(readings, share, cause, evidence, nothing=False)]
    return []


def finding(
    readings: Readings, share: float, cause: Cause, evidence: tuple[Evidence, ...], *, nothing: bool
) -> Finding:
    rows = readings.value("overfit.rows") or 0
    learned = "nothing" if nothing else f"only {100 * share:.0f} %"
    return Finding(
        code=CODE,
        title=f"The network learns {learned} of {rows:.0f} rows by heart",
        severity="warning",
        standing="verified",
        cause=cause,
        why=WHY[cause],
        evidence=(
            Evidence(
                "learnable loss removed, best of the rates tried", f"{100 * max(share, 0.0):.0f} %", "90 % is learned"
            ),
            Evidence("of it in the last fifth of the steps", f"{100 * (readings.value('overfit.trend') or 0.0):.1f} %"),
            *evidence,
        ),
        excluded=(
            Excluded("contradictory labels", "rows with equal inputs are left out"),
            Excluded("learning rate", "rates from 0.001 to 0.01 tried"),
            Excluded("regularization", "dropout off, no weight decay"),
        ),
        remedies=(ADVICE[cause],),
    )


WHY: dict[Cause, str] = {
    "parameters_not_trained": "Most weights cannot learn, and those that can do not reach the answers.",
    "vanishing": "The differences between rows shrink from layer to layer until the last layer cannot tell rows apart.",
    "dead_units": "All units of a layer give zero for every row: nothing passes, and no gradient comes back.",
    "input_scale": "The inputs are so large or so uneven that no small step of the weights makes a small change of the "
    "outputs.",
    "target_scale": "The targets lie so far from the outputs that small steps do not reach them.",
    "underfitting": "Something between inputs and outputs cannot represent these rows, though their differences reach "
    "the last layer.",
}


def vanishes(readings: Readings) -> bool:
    """Whether less than a thousandth of the differences between rows reaches the last weight layer."""
    flow = readings.of("flow.spread")
    return len(flow) > 1 and flow[-1].value < LOST * flow[0].value


def untrained(readings: Readings) -> float:
    """Share of the weights that are frozen, cut off or unknown to the network."""
    trainable, frozen, foreign = (readings.value(f"parameter.{n}") or 0.0 for n in ("trainable", "frozen", "foreign"))
    cut = sum(r.count or 0 for r in readings.of("parameter.detached"))
    return (frozen + foreign + cut) / max(trainable + frozen + foreign, 1.0)


def cause_of(readings: Readings) -> tuple[Cause, tuple[Evidence, ...]]:
    """The cause that the readings at the start name, and what they say."""
    flow = readings.of("flow.spread")
    stuck = untrained(readings)
    if stuck > MOST:
        return "parameters_not_trained", (Evidence("weights that cannot learn", f"{100 * stuck:.0f} %", "50 %"),)
    dead = next((r for r in flow if r.value == 0 and r.note == "zeros"), None)
    if dead is not None:
        return "dead_units", (Evidence(f"values entering layer {dead.place}", "0 for all rows"),)
    scale = next((r for r in readings.of("input.rms") if r.value > LARGE), None)
    ratio = next((r for r in readings.of("input.ratio") if r.value > COLUMNS), None)
    if scale is not None or ratio is not None:
        return "input_scale", tuple(scales(scale, ratio))
    if vanishes(readings):
        first, last = flow[0], flow[-1]
        return "vanishing", (
            Evidence(f"difference between rows entering layer {first.place}", number(first.value)),
            Evidence(f"the same entering layer {last.place}", number(last.value), f"{LOST:g} of the first"),
        )
    target = readings.last("target.deviation")
    if target is not None and target.value > COLUMNS:
        return "target_scale", (Evidence("deviation of the target", number(target.value)),)
    return "underfitting", ()


def scales(scale: Reading | None, ratio: Reading | None) -> list[Evidence]:
    found = [] if scale is None else [Evidence("root mean square of the inputs", number(scale.value), f"{LARGE:g}")]
    return found + (
        [] if ratio is None else [Evidence("largest column over smallest", number(ratio.value), f"{COLUMNS:g}")]
    )

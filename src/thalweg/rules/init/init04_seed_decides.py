"""# INIT04: the seed decides

## What it does
Finds trainings that went well by luck: most of the same from other seeds, with other initial weights and another order
of the rows, do far worse.

## Why it is bad
The next one who trains it, on the same data, gets another result. What made this start work is not in the program.

## Evidence used
- `restart.score` of whole trainings from other seeds, until two of them agree; `restart.lead`, by how much this one is
  better, paired over the validation rows, with two standard errors. It is an alarm when two other starts reach less
  than 0.8 of what this one does beyond a constant answer, beyond two standard errors.
- `twin.restart_likelihood`, `_rescale`, `_leaky`, `_lower_rate`: a poor start with cross-entropy on logits, where the
  loss is another; with weights rescaled so that each layer's outputs have deviation 1; with leaky ReLU; at a tenth of
  the rate. The first that mends it names the cause: the loss, the scale of the weights, dying units, the rate.

## Known limits
Asked only where the network comes from a function that builds it, no other fault is known, and two more trainings fit
into the time of the diagnosis: small ones. `thalweg diagnose RUN --seconds S` allows more.

## Remedies
- He or Xavier initialization; a normalization, wider layers or leaky ReLU, which leave less to chance
  (changes training).
- Train from several seeds and report them all: `experiment.compare` (safe).

## References
Lecture row L10; Bouthillier et al., "Accounting for variance in machine learning benchmarks" (MLSys 2021).
"""

from statistics import median

from thalweg.findings import Cause, Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import SHARE, harm
from thalweg.rules.trial import number

CODE = "INIT04"
NAME = "the seed decides"
STAGE = "training"
NEEDS = ("restart.score",)

MOST = 2  # poor starts that make the rule, of three at most
LIKELIHOOD, RESCALED = "restart_likelihood", "restart_rescale"
LEAKY, LOWER = "restart_leaky", "restart_lower_rate"
CAUSES: dict[str, tuple[Cause, str]] = {
    LIKELIHOOD: ("loss_head_mismatch", "cross-entropy on logits"),
    RESCALED: ("init_scale", "rescaled initial weights"),
    LEAKY: ("dead_units", "leaky ReLU"),
    LOWER: ("lr_too_high", "a tenth of the rate"),
}


def judge(readings: Readings) -> list[Finding]:
    places = readings.places("restart.score")
    poor = [place for place in places if worse(readings, place)]
    own, constant = readings.last("restart.own"), readings.value("restart.constant")
    if len(poor) < MOST or own is None or constant is None:
        return []
    reached = [readings.value("restart.score", place) or 0.0 for place in places]
    lower = [readings.value("restart.score", place) or 0.0 for place in poor]
    tried = {name: found for name in CAUSES if (found := harm(readings, name)) is not None}
    mends = next((name for name, found in tried.items() if found.harmed), None)
    cause: Cause = "unstable_start" if mends is None else CAUSES[mends][0]
    return [
        Finding(
            code=CODE,
            title=f"{len(poor)} of {len(places)} other seeds reach {number(median(lower))} instead of "
            f"{number(own.value)}",
            severity="warning",
            standing="verified",
            cause=cause,
            why="The same program from other initial weights, with the rows in another order, does far worse: this "
            "result is its seed's.",
            evidence=(
                Evidence(f"{own.note} on validation rows", number(own.value), f"a constant has {number(constant)}"),
                Evidence(
                    "the same from other seeds",
                    ", ".join(map(number, reached)),
                    f"{SHARE:g} of what this one reaches beyond a constant",
                ),
                *(leads(readings, place) for place in poor),
                *(tried[mends].evidence(CAUSES[mends][1])[1:] if mends else ()),
            ),
            excluded=(Excluded("chance", "two standard errors of the validation rows, twice"),),
            remedies=(
                Remedy("Draw the weights by He or Xavier; normalize, widen, or use leaky ReLU.", "changes training"),
                Remedy("Train from several seeds and report them all: experiment.compare.", "safe"),
            ),
        )
    ]


def worse(readings: Readings, place: str) -> bool:
    """Whether another seed reaches less than 0.8 of what this one does, beyond two standard errors."""
    found, own = readings.value("restart.score", place), readings.value("restart.own")
    lead, constant = readings.last("restart.lead", place), readings.value("restart.constant")
    if found is None or own is None or constant is None or lead is None or lead.low is None:
        return False
    return lead.low > 0 and found - constant < SHARE * (own - constant)


def leads(readings: Readings, place: str) -> Evidence:
    lead = readings.last("restart.lead", place)
    assert lead is not None
    low, high = number(lead.low or 0.0), number(lead.high or 0.0)
    return Evidence(f"ahead of seed {place}, over {lead.count} rows", f"{number(lead.value)} ({low} to {high})")

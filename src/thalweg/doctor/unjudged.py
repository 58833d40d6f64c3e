"""Why a rule could not judge, in plain words: which of its readings are missing, and why these are."""

from collections.abc import Iterable

from thalweg.doctor.diagnosis import NotJudged
from thalweg.readings import Readings
from thalweg.rules import rule

# How the name of a reading begins, and why it may be missing; the first that fits is told.
BEFORE = "nothing was examined before the first step (probes=False)"
AFTER = "nothing was examined after the training (probes=False, or it was interrupted); thalweg diagnose does it"
UNTRAINED = "no epoch was completed"
OWN_LOOP = "it asks about a loop of one's own (tw.watch)"
WHY = (
    ("speed.", "the training was too short for its speed to matter, or its rows lie in memory"),
    ("loop.", OWN_LOOP),
    ("lag.", OWN_LOOP),
    ("race.", "no race of rates was run"),
    ("overfit.", "a few rows could not be learned by heart in the time, or the loss leaves nothing to learn"),
    ("reference.", "no plain learner could be fitted on these data, or not in the time"),
    ("outcome.", "the outputs have no score"),
    ("fit.", UNTRAINED),
    ("validation.", UNTRAINED),
    ("best.", UNTRAINED),
    ("train.", UNTRAINED),
    ("epoch.", UNTRAINED),
    ("rows_per_second", UNTRAINED),
    ("probe.", "no remedy of this kind was called for"),
    ("twin.", "no remedy of this kind was called for"),
    ("harm.", "no remedy of this kind was called for"),
    ("balance.", "the targets are of another kind"),
    ("norm.", "there is no layer of this kind, or it is not seen"),
    ("units.", "there is no layer of this kind, or it is not seen"),
    ("activation.", "there is no layer of this kind, or it is not seen"),
    ("data.", "the parts of the data could not be compared"),
    ("curvature.", "its optimizer has no known limit, its loss no second derivative, or there was no time"),
    ("noise.", "its loss fell to the end, or its rate did, or little was left to be reached"),
    ("target.", "the targets are of another kind"),
    ("labels.", "the targets are no classes, or there was no time for plain learners"),
    ("restart.", "no other seed was tried: a fault is known, no function builds the network, or there was no time"),
    ("representation.", "the weights at the end were not looked at, or there was no time"),
    ("input.", "the inputs are of another kind"),
)


def unjudged(codes: Iterable[str], readings: Readings) -> tuple[NotJudged, ...]:
    """The rules of these codes, each with the reason."""
    found = []
    for code in codes:
        known = rule(code)
        missing = [name for name in known.needs if name not in readings]
        found.append(NotJudged(code, known.name, reason(missing, readings, before=known.stage == "check")))
    return tuple(found)


def reason(missing: list[str], readings: Readings, *, before: bool) -> str:
    """The reason for the first reading that is missing.

    >>> reason(["race.rate"], Readings(), before=False), reason(["validation.loss"], Readings(), before=False)
    ('no race of rates was run', 'no epoch was completed')
    """
    first = missing[0] if missing else ""
    if before and "loss.initial" not in readings:
        return BEFORE
    if "train.loss" in readings and first.startswith(("outcome.", "reference.")) and "outcome.score" not in readings:
        return AFTER
    if first.startswith("race.") and "race.rate" in readings:
        return "the race of rates found no reason to go so far"
    told = next((why for start, why in WHY if first.startswith(start)), None)
    return told or "what it reads was not measured here"


def broken(readings: Readings) -> list[str]:
    """A line per examination that broke, with its error."""
    lines = [readings.last("examination.broken", place) for place in readings.places("examination.broken")]
    return [f"{r.place.replace('_', ' ')} broke, an error of thalweg's own: {r.note}" for r in lines if r]

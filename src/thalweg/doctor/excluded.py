"""What a training cannot suffer from, and by which test; and what speaks for one that is healthy."""

from collections.abc import Callable, Collection, Sequence

from thalweg.doctor.diagnosis import RuledOut
from thalweg.findings import Finding
from thalweg.readings import Reading, Readings
from thalweg.rules.lr.race import raced, short
from thalweg.rules.trial import number

BY_HEART = 0.9  # of the loss of a few rows: what FIT01 calls learned
# What a rule that judged and found nothing has shown, and which cause that excludes.
PASSED = {
    "LOSS02": ("loss head mismatch", "the loss can reach its lowest value"),
    "GRAD01": ("parameters not trained", "every trainable parameter gets a gradient"),
    "INIT01": ("init constant", "no units start and stay equal"),
    "DATA01": ("input scale", "the scale of the inputs does no harm"),
    "NUM01": ("non finite", "every loss was finite"),
    "ACT03": ("dead units", "no layer has lost a tenth of its units"),
}


def ruled_out(findings: Sequence[Finding], passed: Collection[str], readings: Readings) -> tuple[RuledOut, ...]:
    """Rivals that the findings excluded, that an experiment excluded, and that a rule which passed excluded.

    A cause that a finding names is none of them.
    """
    named = {f.cause.replace("_", " ") for f in findings if f.severity != "note"}
    alarms = [f for f in findings if f.severity != "note"]
    found = [RuledOut(rival.cause.replace("_", " "), rival.test, f.code) for f in alarms for rival in f.excluded]
    found += [each for test in TESTS if (each := test(readings)) is not None and each.code not in codes(alarms)]
    found += [RuledOut(*PASSED[code], code) for code in PASSED if code in passed]
    first: dict[str, RuledOut] = {}
    for each in found:
        first.setdefault(each.cause, each)
    return tuple(each for cause, each in first.items() if cause not in named)


def codes(findings: Sequence[Finding]) -> set[str]:
    """Codes of the findings; the rules about the rate are one."""
    return {"LR01" if f.code.startswith("LR") and f.cause.startswith("lr") else f.code for f in findings}


def rate(readings: Readings) -> RuledOut | None:
    """The learning rate, where a race was run and the plan's does as well as the best."""
    race = readings.last("race.rate")
    if race is None:
        return None
    best = f"{short(race.value)} ({short(race.low)} to {short(race.high)})"
    found = raced(readings)
    if found is None:
        return RuledOut("learning rate", f"a race of constant rates chose it: {best}", "LR01")
    if found.too_high or found.too_low:
        return None
    return RuledOut("learning rate", f"the plan's {number(found.plan)} does as well as a race's best, {best}", "LR01")


def network(readings: Readings) -> RuledOut | None:
    """The network as such, where it learns a few rows by heart."""
    share, rows, steps = (readings.value(f"overfit.{name}") for name in ("share", "rows", "steps"))
    if share is None or share < BY_HEART or rows is None:
        return None
    how = f" in {steps:.0f} steps" if steps is not None else ""
    return RuledOut("network", f"it learns {rows:.0f} rows by heart{how}", "FIT01")


def labels(readings: Readings) -> RuledOut | None:
    """The labels, where a plain learner that knows nothing of the network predicts them on other rows."""
    reached, constant = best_reference(readings), readings.value("reference.constant")
    if reached is None or constant is None or reached.low is None or reached.low <= constant:
        return None
    measure = readings.of("reference.constant")[-1].note
    name = f"{measure.replace('_', ' ')} " if measure else ""
    test = f"a plain learner reaches {name}{number(reached.value)}, a constant answer {number(constant)}"
    return RuledOut("labels", test, "LR03")


TESTS: tuple[Callable[[Readings], RuledOut | None], ...] = (rate, labels, network)


def best_reference(readings: Readings) -> Reading | None:
    """The newest score of the reference learner on validation rows."""
    return readings.last("reference.score")


def evidence_of_health(readings: Readings) -> tuple[str, ...]:
    """What speaks for a training without an alarm: what it reaches, beside a constant answer and a plain learner."""
    reached, constant = readings.last("outcome.score"), readings.value("outcome.constant")
    if reached is None or constant is None or not reached.value > constant:
        return ()
    name = reached.note.replace("_", " ") or "score"
    lines = [f"{name} {number(reached.value)} on validation rows, where a constant answer reaches {number(constant)}"]
    reference = best_reference(readings)
    if reference is not None:
        lines.append(f"a plain learner on the same rows reaches {number(reference.value)}")
    rest = readings.last("outcome.irreducible")
    if rest is not None and rest.value:
        lines.append(f"the rest looks irreducible{': ' + rest.note if rest.note else ''}")
    return tuple(lines)

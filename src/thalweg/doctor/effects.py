"""What follows from what: a fault upstream explains its symptoms, which are no faults of their own."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from thalweg.doctor.order import ORDER, inside, outdone, urgency
from thalweg.findings import SEVERITIES, Cause, Evidence, Finding

SLOW_LEARNING: tuple[Cause, ...] = ("optimizer_unsuitable", "too_few_epochs", "underfitting")
RATES: tuple[Cause, ...] = ("lr_too_high", "lr_too_low")
# The symptoms that a shown fault brings about. Only what follows by a known mechanism is here: a rate that a race
# proves wrong is no symptom of a signal that vanishes, since the same network learns at another rate; a loss that does
# not fit, a start without differences or inputs of a wrong scale make every rate look wrong.
EXPLAINS: dict[Cause, tuple[Cause, ...]] = {
    "loss_head_mismatch": ("init_scale", "saturation", *RATES, "dead_units", "class_imbalance", *SLOW_LEARNING),
    "parameters_not_trained": ("lr_too_low", *SLOW_LEARNING),
    "init_constant": ("vanishing", "saturation", *RATES, "dead_units", *SLOW_LEARNING),
    "gradient_accumulated": ("exploding", "saturation", "lr_too_high", "non_finite", "dead_units", *SLOW_LEARNING),
    "train_eval_mode": ("batchnorm_small_batch", "dropout_excess", "overfitting", "underfitting"),
    "label_corruption": ("too_few_epochs", "overfitting", "underfitting"),
    "split_shift": ("overfitting",),
    "input_scale": (
        *("init_scale", "exploding", "vanishing", "saturation"),
        *(*RATES, "non_finite", "dead_units", *SLOW_LEARNING),
    ),
    "target_scale": ("init_scale", "exploding", *RATES, "non_finite", "dead_units", *SLOW_LEARNING),
    "unshuffled": ("overfitting", "underfitting"),
    "no_nonlinearity": SLOW_LEARNING,
    "init_scale": ("saturation", "non_finite", "dead_units", *SLOW_LEARNING),
    "exploding": ("non_finite", *SLOW_LEARNING),
    "vanishing": SLOW_LEARNING,
    "saturation": SLOW_LEARNING,
    "lr_too_high": ("non_finite", "dead_units", *SLOW_LEARNING),
    "lr_too_low": SLOW_LEARNING,
    "dead_units": SLOW_LEARNING,
    "dropout_excess": ("too_few_epochs", "underfitting"),
    "too_few_epochs": ("underfitting",),
}


def explain(findings: Sequence[Finding]) -> tuple[list[Finding], dict[int, tuple[Finding, ...]]]:
    """The findings without those that an alarm explains, and by the alarm's `id` what it explains.

    An effect becomes a line of evidence of its cause, which takes over its severity where that is graver. A suspicion
    is explained as well; a note stays where it is.
    """
    upstream_first = sorted(findings, key=lambda f: (ORDER.index(f.cause), urgency(f)))
    root: dict[int, Finding] = {}
    effects: dict[int, list[Finding]] = {}
    for cause in (f for f in upstream_first if f.counts):
        top = root.get(id(cause), cause)
        for finding in upstream_first:
            if id(finding) not in root and finding is not top and follows(finding, cause):
                root[id(finding)] = top
                effects.setdefault(id(top), []).append(finding)
                moved = effects.pop(id(finding), [])
                effects[id(top)] += moved
                root |= dict.fromkeys(map(id, moved), top)
    kept: list[Finding] = []
    told: dict[int, tuple[Finding, ...]] = {}
    for finding in findings:
        if id(finding) in root:
            continue
        follow = tuple(sorted(effects.get(id(finding), ()), key=urgency))
        if follow:
            finding = with_effects(finding, follow)
            told[id(finding)] = follow
        kept.append(finding)
    return kept, told


def follows(finding: Finding, cause: Finding) -> bool:
    """Whether a finding is a symptom of a fault that was shown; not where its own remedy does clearly more."""
    if finding.severity == "note" or finding.cause not in EXPLAINS.get(cause.cause, ()) or outdone(cause, finding):
        return False
    if any(rival.cause == cause.cause for rival in finding.excluded):  # a test showed that it is no symptom of that
        return False
    # Units that were dead before the first step were not killed by steps that were too long.
    return not (cause.cause == "lr_too_high" and finding.cause == "dead_units") or bool(finding.step)


def with_effects(cause: Finding, effects: Iterable[Finding]) -> Finding:
    """The cause with a line of evidence for each effect, and the gravest severity of all."""
    effects = tuple(effects)
    alarms = [f for f in effects if f.counts]
    severity = min((f.severity for f in (cause, *alarms)), key=SEVERITIES.index)
    lines = tuple(Evidence(f"explains {f.code}", inside(f.title)) for f in effects)
    step = cause.step
    if cause.cause == "lr_too_high":  # the curve may not tell since when, and what it broke does
        step = min((f.step for f in (cause, *alarms) if f.step is not None), default=None)
    return replace(cause, severity=severity, step=step, evidence=cause.evidence + lines)

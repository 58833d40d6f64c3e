"""The diagnosis of a training: every rule on all its readings, the findings ranked, and the verdict in one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from thalweg.findings import SEVERITIES, STANDINGS, Cause, Evidence, Finding
from thalweg.readings import Readings
from thalweg.rules import all_rules, judge_all
from thalweg.rules.outcome import learned, lost, removed

# Upstream first: what comes earlier explains what comes later.
ORDER: tuple[Cause, ...] = (
    *("loss_head_mismatch", "parameters_not_trained", "init_constant", "gradient_accumulated", "train_eval_mode"),
    *(
        "label_corruption",
        "split_leak",
        "split_shift",
        "input_scale",
        "target_scale",
        "unshuffled",
        "no_nonlinearity",
        "init_scale",
    ),
    *("exploding", "vanishing", "saturation", "lr_too_high", "lr_too_low", "non_finite", "dead_units"),
    *("optimizer_unsuitable", "batchnorm_small_batch", "dropout_excess", "class_imbalance", "too_few_epochs"),
    *("overfitting", "underfitting", "measures_disagree"),
)
FITTED = 0.5  # of the learnable loss
LAST = ("label_corruption", "underfitting")  # what is suspected when nothing else explains a loss that does not fall


@dataclass(frozen=True)
class Diagnosis:
    """What the rules conclude from a training.

    Args:
        findings: errors, then warnings by standing, then notes; causes before what follows from them.
        passed: codes of the rules that judged and found nothing.
        not_judged: codes of the rules whose readings were missing.
        verdict: one sentence.
    """

    findings: tuple[Finding, ...]
    passed: tuple[str, ...]
    not_judged: tuple[str, ...]
    verdict: str


def diagnose(readings: Readings) -> Diagnosis:
    """Applies every rule to the readings of a run.

    >>> diagnose(Readings()).verdict
    'Not judged: there is no training yet.'
    """
    judged = judge_all(readings, all_rules())
    findings = rank(merge(judged.findings))
    return Diagnosis(findings, judged.passed, judged.not_judged, verdict_of(findings, readings))


def merge(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for one fault.

    The same rule at the same place keeps its strongest finding. Numbers lost because of the rate are one fault, told by
    the rule that names the operation, with the evidence about the rate; so are units that a high rate killed. Broken
    labels and underfitting are suspected when nothing explains the loss: an alarm does, and labels explain the fit.
    """
    kept: dict[tuple[str, str], Finding] = {}
    for finding in sorted(findings, key=urgency):
        kept.setdefault((finding.code, finding.place), finding)
    rate = next((f for f in kept.values() if f.code == "LR01"), None)
    lost_numbers = next((f for f in kept.values() if f.code == "NUM01" and f.cause == "lr_too_high"), None)
    if rate and lost_numbers:
        del kept[rate.code, rate.place]
        new = tuple(e for e in rate.evidence if e not in lost_numbers.evidence)
        merged = replace(lost_numbers, evidence=lost_numbers.evidence + new)
        kept[lost_numbers.code, lost_numbers.place] = merged
    if rate and not lost_numbers:
        absorb(kept, rate)
    if any(f.counts and f.cause not in LAST for f in kept.values()):
        return [f for f in kept.values() if f.standing != "suspicion" or f.cause not in LAST]
    unlearnable = any(f.code == "LR03" for f in kept.values())
    return [f for f in kept.values() if not (unlearnable and f.code == "GEN02")]


def absorb(kept: dict[tuple[str, str], Finding], rate: Finding) -> None:
    """Units that died while the rate was too high become evidence about the rate, which takes over their severity."""
    died = [f for f in kept.values() if f.code == "ACT03" and f.step]
    for finding in died:
        del kept[finding.code, finding.place]
    if died:
        steps = [f.step for f in (rate, *died) if f.step is not None]
        lines = tuple(Evidence(f"units of {f.place}", inside(f.title)) for f in died)
        severity = min((f.severity for f in (rate, *died)), key=SEVERITIES.index)
        changed = replace(rate, severity=severity, step=min(steps), evidence=rate.evidence + lines)
        kept[rate.code, rate.place] = changed


def urgency(finding: Finding) -> tuple[int, int, int, str]:
    severity, standing = SEVERITIES.index(finding.severity), STANDINGS.index(finding.standing)
    return severity, standing, ORDER.index(finding.cause), finding.place


def rank(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings by standing, then notes; within these the cause before what follows from it."""
    return tuple(sorted(findings, key=urgency))


def verdict_of(findings: Sequence[Finding], readings: Readings) -> str:
    """One sentence: how the training stands, and its first fault or its best epoch."""
    epochs = len(readings.of("validation.loss"))
    alarms = [f for f in findings if f.counts]
    if lost(readings):
        return f"Failed: {sentence(alarms)}"
    if not epochs and not alarms:
        return "Not judged: there is no training yet."
    answers = learned(readings)
    state = "Learning" if answers is not False else "Not generalizing" if fits(readings) else "Not learning"
    state = state if epochs else "Faulty"
    if alarms:
        faults = len({f.cause for f in alarms})
        number = "one fault" if faults == 1 else f"{faults} faults; the first"
        return f"{state}, with {number}: {sentence(alarms)}"
    doubt = next((f for f in findings if f.severity != "note"), None)
    if answers is False:
        state = "Not generalizing: training rows are learned, but" if fits(readings) else "Not learning:"
        reason = f" {doubt.title}, it seems." if doubt else ""
        return f"{state} validation rows are answered no better than by one constant answer.{reason}"
    known = "" if doubt is None else f", with a suspicion: {inside(doubt.title)}"
    return f"Healthy: no rule found a fault{known}, best at epoch {best_epoch(readings)} of {epochs}."


def fits(readings: Readings) -> bool:
    """Whether the kept weights have removed half of the learnable loss on training rows."""
    reached = readings.value("fit.train_loss")
    return reached is not None and (removed(readings, reached) or 0.0) >= FITTED


def sentence(alarms: Sequence[Finding]) -> str:
    return f"{inside(alarms[0].title)}." if alarms else "numbers were no longer finite."


def inside(title: str) -> str:
    """A title within a sentence: its first word in lower case, unless it is a name or an abbreviation.

    >>> inside("All units in relu died"), inside("MSE loss grew")
    ('all units in relu died', 'MSE loss grew')
    """
    return title[:1].lower() + title[1:] if title[1:2].islower() or title[1:2] == " " else title


def best_epoch(readings: Readings) -> int:
    """The epoch whose weights were kept, by its reading; else that of the lowest validation loss."""
    named = readings.value("best.epoch")
    losses = [reading.value for reading in readings.of("validation.loss")]
    return int(named) if named is not None else losses.index(min(losses)) + 1

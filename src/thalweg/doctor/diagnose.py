"""The diagnosis of a training: every rule on all its readings, causes in order, and the verdict in one sentence."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from thalweg.doctor.diagnosis import CauseFound
from thalweg.doctor.diagnosis import Diagnosis as Diagnosis
from thalweg.doctor.effects import explain
from thalweg.doctor.excluded import evidence_of_health, ruled_out
from thalweg.doctor.ignore import Wishes
from thalweg.doctor.order import ORDER as ORDER
from thalweg.doctor.order import inside, rank, urgency
from thalweg.doctor.unjudged import broken, unjudged
from thalweg.findings import Finding
from thalweg.readings import Reading, Readings
from thalweg.rules import all_rules, judge_all
from thalweg.rules.outcome import learned, lost, removed

FITTED = 0.5  # of the learnable loss
LAST = ("label_corruption", "underfitting")  # what is suspected when nothing else explains a loss that does not fall


def diagnose(readings: Readings, wishes: Wishes | None = None) -> Diagnosis:
    """Applies every rule to the readings of a run, or those that are wished for.

    >>> diagnose(Readings()).verdict
    'Not judged: there is no training yet.'
    """
    wishes = wishes or Wishes()
    judged = judge_all(readings, filter(wishes.judges, all_rules()))
    kept, ignored, unused = wishes.kept(judged.findings)
    roots, effects = explain(merge(kept))
    findings = rank(roots)
    causes = causes_of(findings, effects)
    return Diagnosis(
        findings=findings,
        verdict=verdict_of(findings, readings, all_judged=not wishes.select),
        causes=causes,
        excluded=ruled_out(findings, judged.passed, readings),
        unknown=unknown(findings, readings),
        passed=judged.passed,
        not_judged=unjudged(judged.not_judged, readings),
        evidence=evidence_of_health(readings) if not causes else (),
        ignored=tuple(ignored),
        unused=tuple(unused),
    )


def judge_rate(readings: Iterable[Reading], wishes: Wishes) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Findings and passed codes of the rules about the rate, before the first step."""
    rules = [each for each in all_rules() if each.code.startswith("LR") and wishes.judges(each)]
    judged = judge_all(Readings(readings), rules)
    return tuple(wishes.kept(judged.findings)[0]), judged.passed


def from_findings(findings: Sequence[Finding], verdict: str) -> Diagnosis:
    """The diagnosis of a run that stored its findings only."""
    causes = causes_of(rank(findings), {})
    doubts = tuple(doubt_line(f) for f in findings if is_doubt(f))
    return Diagnosis(rank(findings), verdict, causes, unknown=doubts)


def causes_of(findings: Sequence[Finding], effects: dict[int, tuple[Finding, ...]]) -> tuple[CauseFound, ...]:
    """The causes of the alarms, in the order of the first alarm of each."""
    alarms = [f for f in findings if f.counts]
    found = []
    for cause in dict.fromkeys(f.cause for f in alarms):
        group = tuple(f for f in alarms if f.cause == cause)
        explains = tuple(effect for f in group for effect in effects.get(id(f), ()))
        strongest = min(group, key=urgency)
        found.append(CauseFound(cause, strongest.standing, group, explains, reason_of(strongest)))
    return tuple(found)


def reason_of(finding: Finding) -> str:
    """Why a cause stands where it stands."""
    when = "before the first step" if finding.step is None else f"since step {finding.step:,}"
    return f"{finding.severity}, {finding.standing}, {when}"


def merge(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for one fault.

    The same rule at the same place keeps its strongest finding. Numbers lost because of the rate are one fault, told by
    the rule that names the operation, with the evidence about the rate. Broken labels and underfitting are suspected
    when nothing explains the loss: an alarm does, and labels explain the fit.
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
    if any(f.counts and f.cause not in LAST for f in kept.values()):
        return [f for f in kept.values() if f.standing != "suspicion" or f.cause not in LAST]
    unlearnable = any(f.code == "LR03" for f in kept.values())
    return [f for f in kept.values() if not (unlearnable and f.code == "GEN02")]


def is_doubt(finding: Finding) -> bool:
    return finding.standing == "suspicion" and finding.severity != "note"


def doubt_line(finding: Finding) -> str:
    return f"suspicion {finding.code}: {inside(finding.title)}"


def unknown(findings: Sequence[Finding], readings: Readings) -> tuple[str, ...]:
    """What stays open: suspicions, experiments that the time did not suffice for, a failure that nothing explains."""
    lines = [doubt_line(f) for f in findings if is_doubt(f)]
    places = readings.places("diagnosis.short")
    short = [place.replace("_", " ") for place in places if readings.value("diagnosis.short", place)]
    if short:
        lines.append(f"no time was left for: {', '.join(short)} (thalweg diagnose RUN --seconds S gives more)")
    lines += broken(readings)
    explained = any(f.counts or is_doubt(f) for f in findings)
    if learned(readings) is False and not explained:
        lines.append("undetermined: why validation rows are answered no better than by one constant answer")
    return tuple(lines)


def verdict_of(findings: Sequence[Finding], readings: Readings, *, all_judged: bool = True) -> str:
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
    judges = "no rule found a fault" if all_judged else "none of the selected rules found a fault"
    far = "" if "loss.initial" in readings else " as far as it was examined"
    rest = "; the rest looks irreducible" if doubt is None and readings.value("outcome.irreducible") else ""
    return f"Healthy{far}: {judges}{known}{rest}, best at epoch {best_epoch(readings)} of {epochs}."


def fits(readings: Readings) -> bool:
    """Whether the kept weights have removed half of the learnable loss on training rows."""
    reached = readings.value("fit.train_loss")
    return reached is not None and (removed(readings, reached) or 0.0) >= FITTED


def sentence(alarms: Sequence[Finding]) -> str:
    return f"{inside(alarms[0].title)}." if alarms else "numbers were no longer finite."


def best_epoch(readings: Readings) -> int:
    """The epoch whose weights were kept, by its reading; else that of the lowest validation loss."""
    named = readings.value("best.epoch")
    losses = [reading.value for reading in readings.of("validation.loss")]
    return int(named) if named is not None else losses.index(min(losses)) + 1

"""The diagnosis of a training: every rule on all its readings, the findings ranked, and the verdict in one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.findings import SEVERITIES, Finding
from thalweg.readings import Readings
from thalweg.rules import all_rules, judge_all


@dataclass(frozen=True)
class Diagnosis:
    """What the rules conclude from a training.

    Args:
        findings: alarms first, then suspicions, then notes.
        passed: codes of the rules that judged and found nothing.
        not_judged: codes of the rules whose readings were missing.
        verdict: one sentence.
    """

    findings: tuple[Finding, ...]
    passed: tuple[str, ...]
    not_judged: tuple[str, ...]
    verdict: str


def diagnose(readings: Readings) -> Diagnosis:
    """Applies every rule to the readings of a run."""
    judged = judge_all(readings, all_rules())
    findings = rank(judged.findings)
    return Diagnosis(findings, judged.passed, judged.not_judged, verdict_of(findings))


def rank(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda f: (not f.counts, SEVERITIES.index(f.severity))))


def verdict_of(findings: Sequence[Finding]) -> str:
    alarms = [f for f in findings if f.counts]
    return f"Learning, with a fault: {alarms[0].title}." if alarms else "Healthy: no rule found a fault."

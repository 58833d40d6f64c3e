"""How findings are ordered, counted and named, wherever they are shown. Suspicions come last and are counted apart."""

from collections.abc import Iterable, Sequence
from typing import Literal

from thalweg.findings import SEVERITIES, Finding, Remedy
from thalweg.show.text import plural


def rank(finding: Finding) -> int:
    """0 error, 1 warning, 2 note, 3 suspicion of whatever severity."""
    return len(SEVERITIES) if finding.standing == "suspicion" else SEVERITIES.index(finding.severity)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first; among equals, the earliest."""
    return sorted(findings, key=lambda f: (rank(f), -1 if f.step is None else f.step))


Kind = Literal["error", "warning", "note", "suspicion"]


def kind(finding: Finding) -> Kind:
    """`"error"`, `"warning"`, `"note"` or `"suspicion"`: the word a card begins with and its color."""
    return "suspicion" if finding.standing == "suspicion" else finding.severity


def where(finding: Finding) -> str:
    """
    >>> where(Finding("ACT03", "dead", "warning", "proven", "dead_units", "", place="conv2", step=1840))
    'conv2, since step 1,840'
    """
    return finding.where


def alike(one: Finding, other: Finding) -> bool:
    """Whether two findings say the same, though a later one may have newer numbers."""
    return (one.code, one.place, one.standing) == (other.code, other.place, other.standing)


def fix_label(remedy: Remedy) -> str:
    """`"fix (safe)"`: the safety class is part of the advice."""
    return f"fix ({remedy.safety})"


def tally(findings: Iterable[Finding]) -> str:
    """The findings counted by kind, suspicions apart.

    >>> tally([])
    'no findings'
    >>> tally([Finding("A", "", w, s, "overfitting", "") for w, s in (("note", "proven"), ("error", "suspicion"))])
    '1 note; 1 suspicion'
    """
    kinds = [kind(f) for f in findings]
    firm = ", ".join(plural(kinds.count(k), k) for k in SEVERITIES if k in kinds)
    apart = plural(kinds.count("suspicion"), "suspicion") if "suspicion" in kinds else ""
    return "; ".join(part for part in (firm, apart) if part) or "no findings"


def at_or_above(findings: Iterable[Finding], severity: str) -> list[Finding]:
    """The findings that fail a command: of this severity or graver, suspicions left out; none for `"never"`."""
    if severity == "never":
        return []
    limit = SEVERITIES.index(severity)
    return [f for f in findings if rank(f) <= limit]


def codes(findings: Sequence[Finding]) -> list[str]:
    """The codes in the order of their gravity, each once."""
    return list(dict.fromkeys(f.code for f in ordered(findings)))

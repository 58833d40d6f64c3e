"""A diagnosis as plain data: causes in order, rivals that a test excluded, what stays open, what was not judged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from thalweg.findings import Finding, Standing

SHOWN = 6  # lines of what is excluded or open; `to_json()` has all


@dataclass(frozen=True, slots=True)
class CauseFound:
    """One cause, and what carries it.

    Args:
        cause: a word of the vocabulary `thalweg.findings.CAUSES`.
        standing: the strongest of its findings.
        findings: that name this cause, the strongest first.
        explains: findings that follow from it, and are no faults of their own.
        reason: why it stands where it stands, in one line.
    """

    cause: str
    standing: Standing
    findings: tuple[Finding, ...]
    explains: tuple[Finding, ...] = ()
    reason: str = ""

    @property
    def name(self) -> str:
        """`"init constant"`."""
        return self.cause.replace("_", " ")

    @property
    def codes(self) -> tuple[str, ...]:
        return unique(f.code for f in self.findings)


@dataclass(frozen=True, slots=True)
class RuledOut:
    """A rival cause, the test that excluded it, and the code of the rule that made it."""

    cause: str
    test: str
    code: str


@dataclass(frozen=True, slots=True)
class NotJudged:
    """A rule that could not judge, and why in plain words."""

    code: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class IgnoredFinding:
    """A finding that the user asked to ignore: `place` and `reason` as given."""

    code: str
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.code}@{self.place}: {self.reason}" if self.place else f"{self.code}: {self.reason}"


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a training, on what evidence, what was ruled out, and what nobody could tell.

    Args:
        findings: alarms first, causes before what follows from them; then suspicions and notes.
        verdict: one sentence.
        causes: of the alarms, in their order.
        excluded: rivals, each with the test that excluded it.
        unknown: sentences: suspicions, experiments that the time did not suffice for, what nothing explains.
        passed: codes of the rules that judged and found nothing.
        not_judged: rules whose readings were missing, and why.
        evidence: what speaks for a training that is called healthy.
        ignored: findings that were left out because the user said so.
        unused: what the user asked to ignore and nothing found.
    """

    findings: tuple[Finding, ...]
    verdict: str
    causes: tuple[CauseFound, ...] = ()
    excluded: tuple[RuledOut, ...] = ()
    unknown: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    not_judged: tuple[NotJudged, ...] = ()
    evidence: tuple[str, ...] = ()
    ignored: tuple[IgnoredFinding, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether a training was judged and no alarm was found."""
        return self.verdict.startswith("Healthy")

    def __str__(self) -> str:
        """The diagnosis as plain text; the terminal draws the same in color."""
        blocks = [self.verdict, *map(str, self.findings)]
        for heading, lines in self.sections():
            blocks.append("\n".join([f"{heading}:", *(f"  {line}" for line in lines)]))
        return "\n\n".join(blocks)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from thalweg.show.notebook import diagnosis_html

        return diagnosis_html(self)

    def sections(self) -> list[tuple[str, list[str]]]:
        """Headings and lines of what stands below the findings, beside what they tell themselves."""
        told = {(rival.cause.replace("_", " "), rival.test) for f in self.findings for rival in f.excluded}
        more = [f"{e.cause}: {e.test}" for e in self.excluded if (e.cause, e.test) not in told]
        parts: list[tuple[str, list[str]]] = [
            ("causes", [f"{k}. {line}" for k, line in enumerate(map(cause_line, self.causes), start=1)]),
            ("evidence", list(self.evidence)),
            ("excluded", some(more)),
            ("unknown", some(self.unknown)),
            ("not judged", unjudged_lines(self.not_judged)),
            ("ignored", ignored_lines(self.ignored, self.unused)),
        ]
        return [(heading, lines) for heading, lines in parts if lines]

    def to_json(self) -> dict[str, Any]:
        """As plain data; findings that carry a cause are numbers of `findings`."""
        number = {id(finding): k for k, finding in enumerate(self.findings)}
        return {
            "verdict": self.verdict,
            "findings": [finding.to_json() for finding in self.findings],
            "causes": [
                {
                    "cause": each.cause,
                    "standing": each.standing,
                    "findings": [number[id(finding)] for finding in each.findings],
                    "explains": [finding.to_json() for finding in each.explains],
                    "reason": each.reason,
                }
                for each in self.causes
            ],
            "excluded": [asdict(each) for each in self.excluded],
            "unknown": list(self.unknown),
            "passed": list(self.passed),
            "not_judged": [asdict(each) for each in self.not_judged],
            "evidence": list(self.evidence),
            "ignored": [asdict(each) for each in self.ignored],
            "unused": list(self.unused),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Diagnosis":
        findings = tuple(map(Finding.from_json, data["findings"]))
        return cls(
            findings=findings,
            verdict=data["verdict"],
            causes=tuple(
                CauseFound(
                    each["cause"],
                    each["standing"],
                    tuple(findings[k] for k in each["findings"]),
                    tuple(map(Finding.from_json, each["explains"])),
                    each["reason"],
                )
                for each in data["causes"]
            ),
            excluded=tuple(RuledOut(**each) for each in data["excluded"]),
            unknown=tuple(data["unknown"]),
            passed=tuple(data["passed"]),
            not_judged=tuple(NotJudged(**each) for each in data["not_judged"]),
            evidence=tuple(data["evidence"]),
            ignored=tuple(IgnoredFinding(**each) for each in data["ignored"]),
            unused=tuple(data["unused"]),
        )


def cause_line(found: CauseFound) -> str:
    """`"init constant (INIT01): error, proven, before the first step; explains LR02"`."""
    more = f"; explains {', '.join(unique(f.code for f in found.explains))}" if found.explains else ""
    return f"{found.name} ({', '.join(found.codes)}): {found.reason}{more}"


def by_reason(not_judged: Iterable[NotJudged]) -> list[tuple[str, list[NotJudged]]]:
    """Rules that could not judge for the same reason together, the commonest reason first.

    >>> [(reason, len(rules)) for reason, rules in by_reason([NotJudged("A01", "a", "no race")])]
    [('no race', 1)]
    """
    ordered = sorted(not_judged, key=lambda each: each.reason)
    groups = [(reason, list(rules)) for reason, rules in groupby(ordered, key=lambda each: each.reason)]
    return sorted(groups, key=lambda group: -len(group[1]))


def unjudged_lines(not_judged: Sequence[NotJudged]) -> list[str]:
    """`"ACT03, GEN01: no epoch was completed"`."""
    return [f"{spans([each.code for each in rules])}: {reason}" for reason, rules in by_reason(not_judged)]


def spans(codes: Sequence[str]) -> str:
    """Codes with three or more in a row as a span.

    >>> spans(["ACT01", "LOOP01", "LOOP02", "LOOP03", "LOOP05"])
    'ACT01, LOOP01–LOOP03, LOOP05'
    """
    runs: list[list[str]] = []
    for code in codes:
        family, number = code[:-2], int(code[-2:])
        if runs and runs[-1][-1] == f"{family}{number - 1:02}":
            runs[-1].append(code)
        else:
            runs.append([code])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


def ignored_lines(ignored: Sequence[IgnoredFinding], unused: Sequence[str]) -> list[str]:
    """`"1 finding ignored: ACT03@block3: known"`, and what was asked to be ignored in vain."""
    count = f"{len(ignored)} finding{'' if len(ignored) == 1 else 's'} ignored"
    lines = [f"{count}: {'; '.join(unique(map(str, ignored)))}"] if ignored else []
    return lines + [f"unused: --ignore {text!r} matches no finding; take it out" for text in unused]


def some(lines: Sequence[str]) -> list[str]:
    """At most `SHOWN` lines, and how many more there are."""
    rest = len(lines) - SHOWN
    return list(lines) if rest <= 1 else [*lines[:SHOWN], f"and {rest} more"]


def unique(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))

"""Which rules a user wants judged, and which findings ignored: `--select ACT,LR01 --ignore "ACT03@layer: known"`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from thalweg.doctor.diagnosis import IgnoredFinding
from thalweg.errors import UsageError, did_you_mean
from thalweg.findings import Finding
from thalweg.rules import Rule, all_rules

Words = str | Sequence[str]
FORM = re.compile(r"(?P<code>[A-Za-z]+\d*)(?:@(?P<place>.+?))?\s*:\s+(?P<reason>\S.*)")


@dataclass(frozen=True, slots=True)
class Ignore:
    """One wish to ignore findings.

    Args:
        code: of a rule, or the letters of a family.
        place: a pattern of places as in a shell (`block*`); None is any place.
        reason: why; it is shown wherever the finding would have been.
    """

    code: str
    place: str | None
    reason: str

    def matches(self, finding: Finding) -> bool:
        return is_of(finding.code, self.code) and (self.place is None or fnmatchcase(finding.place, self.place))

    def __str__(self) -> str:
        return f"{self.code}{'' if self.place is None else f'@{self.place}'}: {self.reason}"


@dataclass(frozen=True)
class Wishes:
    """What is judged and what is ignored; empty `select` judges all rules."""

    select: tuple[str, ...] = ()
    ignore: tuple[Ignore, ...] = ()

    def judges(self, rule: Rule) -> bool:
        return self.selects(rule.code)

    def selects(self, code: str) -> bool:
        return not self.select or any(is_of(code, each) for each in self.select)

    def kept(self, findings: Iterable[Finding]) -> tuple[list[Finding], list[IgnoredFinding], list[str]]:
        """The findings that stay, those that are ignored, and wishes that matched nothing."""
        kept, ignored, used = [], [], set()
        for finding in findings:
            if not self.selects(finding.code):
                continue
            wish = next((each for each in self.ignore if each.matches(finding)), None)
            if wish is None:
                kept.append(finding)
            else:
                used.add(wish)
                ignored.append(IgnoredFinding(finding.code, finding.place, wish.reason))
        return kept, ignored, [str(each) for each in self.ignore if each not in used]

    def to_json(self) -> dict[str, list[str]]:
        return {"select": list(self.select), "ignore": [str(each) for each in self.ignore]}


def wishes(select: Words = (), ignore: Words = ()) -> Wishes:
    """Reads `select` ("ACT,LR01" or a list) and `ignore` ("ACT03@layer: reason" or a list of such).

    Raises:
        UsageError: for a code or family that does not exist, or an `ignore` without its reason.

    >>> found = wishes("act, LR01", "ACT03@block*: a wide layer")
    >>> found.select, str(found.ignore[0])
    (('ACT', 'LR01'), 'ACT03@block*: a wide layer')
    """
    words = [word.strip() for text in listed(select) for word in text.split(",")]
    return Wishes(tuple(known(word) for word in words if word), tuple(map(ignored, listed(ignore))))


def ignored(text: str) -> Ignore:
    found = FORM.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            f"ignore got {text!r}. Write the code, where one wants it the place, and the reason: "
            '"ACT03: wide layers spare units" or "ACT03@block3*: known".'
        )
    return Ignore(known(found["code"]), found["place"], found["reason"])


def listed(given: Words) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def known(word: str) -> str:
    """The code or family in capitals; `UsageError` names the nearest where there is none."""
    codes = [rule.code for rule in all_rules()]
    families = list(dict.fromkeys(map(family, codes)))
    if word.upper() not in (*codes, *families):
        raise UsageError(
            f"There is no rule or family {word!r}.{did_you_mean(word.upper(), codes + families)} Families: "
            f"{', '.join(families)}; `thalweg explain` lists all rules."
        )
    return word.upper()


def is_of(code: str, pattern: str) -> bool:
    """Whether a code is the pattern, or of the family that it names.

    >>> is_of("ACT03", "ACT"), is_of("ACT03", "ACT03"), is_of("ARCH01", "AR")
    (True, True, False)
    """
    return pattern in (code, family(code))


def family(code: str) -> str:
    """
    >>> family("ACT03")
    'ACT'
    """
    return code.rstrip("0123456789")

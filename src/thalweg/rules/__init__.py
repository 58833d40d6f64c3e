"""Rules: readings in, findings out. One file is one rule; it is found by its file, so that adding one edits no list.

A rule is a module `rules/<family>/<code>_<name>.py`: its docstring is its manual page, and it defines

    CODE = "LOSS01"                          its folder is the letters of its code
    NAME = "initial loss"                    a few words
    STAGE = "check"                          when it judges first: "check", before the first step, or "training"
    NEEDS = ("loss.initial",)                names of readings without which it cannot judge
    ALONG = True                             where its alarms need not wait for the end of the training
    def judge(readings: Readings) -> list[Finding]

Rules are pure and never import torch: what they judge was measured before.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Literal

from thalweg.errors import UsageError, did_you_mean
from thalweg.findings import Finding
from thalweg.readings import Readings

SECTIONS = ("What it does", "Why it is bad", "Evidence used", "Known limits", "Remedies", "References")


@dataclass(frozen=True)
class Rule:
    """A rule as its module defines it. `page` is its manual in markdown.

    `along` is for rules that may judge while the training goes on too (`ALONG = True` in the module): their alarms do
    not wait for what is measured at the end.
    """

    code: str
    name: str
    stage: Literal["check", "training"]
    needs: tuple[str, ...]
    judge: Callable[[Readings], list[Finding]]
    page: str
    along: bool = False

    @property
    def summary(self) -> str:
        """What it does, in one sentence: the first of its page."""
        text = self.page.partition("## What it does\n")[2].partition("\n\n")[0]
        return f"{' '.join(text.split()).partition('. ')[0].rstrip('.')}."


@dataclass(frozen=True)
class Judged:
    """What a set of rules concluded.

    Args:
        findings: all findings, in the order of the rules.
        passed: codes of the rules that judged and found nothing.
        not_judged: codes of the rules whose readings were missing.
    """

    findings: tuple[Finding, ...]
    passed: tuple[str, ...]
    not_judged: tuple[str, ...]


@cache
def all_rules() -> list[Rule]:
    """Every rule, sorted by code.

    >>> "LOSS01" in [rule.code for rule in all_rules()]
    True
    """
    names = [
        f"{family.name}.{module.name}"
        for family in pkgutil.iter_modules(__path__, f"{__name__}.")
        if family.ispkg
        for module in pkgutil.iter_modules(importlib.import_module(family.name).__path__)
        if "_" in module.name
    ]
    modules = [importlib.import_module(name) for name in names]
    return sorted(map(rule_of, modules), key=code_of)


def rule_of(module: ModuleType) -> Rule:
    page = inspect.cleandoc(module.__doc__ or "")
    along = getattr(module, "ALONG", False)
    return Rule(module.CODE, module.NAME, module.STAGE, module.NEEDS, module.judge, page, along)


def family(code: str) -> str:
    """The family of a code in words: the first line of its folder's docstring, or the letters where there is none.

    >>> family("ACT03")
    'Activations'
    """
    letters = code.rstrip("0123456789")
    package = importlib.import_module(f"{__name__}.{letters.lower()}")
    return inspect.cleandoc(package.__doc__ or letters).splitlines()[0].rstrip(".")


def code_of(rule: Rule) -> str:
    return rule.code


def rule(code: str) -> Rule:
    """The rule of a code, in any case of letters.

    Raises:
        UsageError: where there is none; the message names the nearest code and lists all.
    """
    known = {found.code: found for found in all_rules()}
    if code.upper() not in known:
        raise UsageError(
            f"There is no rule {code!r}.{did_you_mean(code.upper(), list(known))} Rules: {', '.join(known)}."
        )
    return known[code.upper()]


def page(code: str) -> str:
    """The manual page of a rule, in markdown; `thalweg explain CODE` prints it."""
    return rule(code).page


def judge_all(readings: Readings, rules: Iterable[Rule]) -> Judged:
    """Applies each rule whose readings are there."""
    findings: list[Finding] = []
    passed: list[str] = []
    not_judged: list[str] = []
    for each in rules:
        if not all(name in readings for name in each.needs):
            not_judged.append(each.code)
        elif found := each.judge(readings):
            findings.extend(found)
        else:
            passed.append(each.code)
    return Judged(tuple(findings), tuple(passed), tuple(not_judged))

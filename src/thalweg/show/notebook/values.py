"""Findings, checks, results and plans as HTML for a notebook."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from thalweg.evaluate.result import Result
from thalweg.findings import Finding
from thalweg.plan import Plan
from thalweg.show.cards import as_call
from thalweg.show.findings import ordered, tally
from thalweg.show.notebook.frame import framed
from thalweg.show.report.decisions import plan_table
from thalweg.show.report.findings import finding_card, finding_cards
from thalweg.show.report.html import Html, card, element
from thalweg.show.report.measures import result_cards
from thalweg.show.text import duration, plural

if TYPE_CHECKING:
    from thalweg.doctor.check import Check


def finding_html(finding: Finding) -> str:
    """A card."""
    return framed(finding_card(finding, change=as_call))


def findings_html(findings: Sequence[Finding]) -> str:
    """A card for each, the gravest first, suspicions apart."""
    return framed(
        titled(f"Findings: {tally(findings)}" if findings else "No findings"),
        *finding_cards(ordered(findings), change=as_call),
    )


def check_html(check: "Check") -> str:
    """What was found, and how much was looked at."""
    facts = [f"{len(check.passed)} passed", *check.facts, duration(check.seconds)]
    open_ = plural(len(check.not_judged), "rule") + " could not judge: " + ", ".join(check.not_judged)
    return framed(
        titled(f"Check: {tally(check.findings)}", " · ".join(facts)),
        *finding_cards(ordered(check.findings), change=as_call),
        element("p", open_, cls="dim") if check.not_judged else None,
    )


def result_html(result: Result) -> str:
    """The measures with their intervals, and the curves and counts behind them."""
    return framed(titled(f"Measures on {plural(result.count, 'test row')}"), result_cards(result, {}))


def plan_html(plan: Plan) -> str:
    """One row per field, and which of them the user set."""
    return framed(titled("Plan"), card("", plan_table(plan.to_json(), [])))


def titled(heading: str, about: str = "") -> Html:
    """The line above: what this is."""
    return element("div", element("h3", heading), element("span", about, cls="dim") if about else None, cls="head")

"""Findings, checks, results and plans as HTML for a notebook."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from thalweg.evaluate.comparison import Comparison
from thalweg.evaluate.result import Result
from thalweg.findings import Finding
from thalweg.plan import Plan
from thalweg.show.cards import as_call
from thalweg.show.comparison import chart
from thalweg.show.findings import kind, ordered, tally
from thalweg.show.notebook.frame import framed
from thalweg.show.report.decisions import plan_table
from thalweg.show.report.diagnosis import causes_card, diagnosis_grid
from thalweg.show.report.findings import finding_card, finding_cards
from thalweg.show.report.html import Html, card, element, pairs, table
from thalweg.show.report.measures import result_cards
from thalweg.show.text import duration, plural

if TYPE_CHECKING:
    from thalweg.doctor.check import Check
    from thalweg.doctor.diagnosis import Diagnosis


def finding_html(finding: Finding) -> str:
    """A card."""
    return framed(finding_card(finding, change=as_call))


def findings_html(findings: Sequence[Finding]) -> str:
    """A card for each, the gravest first, suspicions apart."""
    return framed(
        titled(f"Findings: {tally(findings)}" if findings else "No findings"),
        *finding_cards(ordered(findings), change=as_call),
    )


def diagnosis_html(found: "Diagnosis") -> str:
    """The verdict, a card for each finding, and what they come to."""
    worst = next((kind(f) for f in found.findings if f.counts), "ok" if found.healthy else "note")
    return framed(
        element("div", element("p", found.verdict), cls=f"verdict {worst}"),
        causes_card(found),
        *finding_cards(found.findings, change=as_call),
        diagnosis_grid(found),
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


def comparison_html(comparison: Comparison) -> str:
    """Arms as a table, a line for each difference, and what to know."""
    direction = "higher" if comparison.higher_is_better else "lower"
    seeds = "seed " + ", ".join(map(str, comparison.seeds))
    lines = [element("li", str(difference)) for difference in comparison.differences]
    return framed(
        titled("Comparison", f"{comparison.measure} on the validation rows, {direction} is better"),
        card("", Html(chart(comparison))),
        card("", table(("", comparison.measure, "95 % interval", seeds), comparison.rows()), element("ul", *lines)),
        *(element("p", note, cls="dim") for note in comparison.remarks),
    )


def pairs_html(heading: str, rows: Sequence[tuple[str, str]]) -> str:
    """Names and values under a heading, such as the property card of an activation."""
    return framed(titled(heading), card("", pairs(rows)))


def titled(heading: str, about: str = "") -> Html:
    """The line above: what this is."""
    return element("div", element("h3", heading), element("span", about, cls="dim") if about else None, cls="head")

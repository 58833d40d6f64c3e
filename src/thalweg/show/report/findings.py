"""Findings as cards: evidence, why, what to do, what was ruled out."""

from collections.abc import Callable, Mapping, Sequence

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.show.cards import STANDINGS, as_options
from thalweg.show.findings import kind, tally, where
from thalweg.show.report.html import Child, Html, code, element, join, section, table
from thalweg.show.report.story import Story

Change = Callable[[Mapping[str, object]], str]  # words a change of plan


def findings_section(story: Story) -> Html:
    """All findings, the gravest first; suspicions apart."""
    if not story.findings:
        judged = "check" in story.facts
        text = "Nothing was found." if judged else "Nothing was judged: the probes were off, or the run was cut short."
        return section("findings", "Findings", element("div", element("p", text), cls="card"))
    return section("findings", f"Findings: {tally(story.findings)}", *finding_cards(story.findings))


def finding_cards(findings: Sequence[Finding], *, change: Change = as_options) -> list[Child]:
    """A card for each; suspicions under a sentence of their own."""
    firm = [finding_card(f, change=change) for f in findings if kind(f) != "suspicion"]
    loose = [finding_card(f, change=change) for f in findings if kind(f) == "suspicion"]
    apart = "Suspicions: no experiment has shown them, so they do not count."
    return [
        element("div", *firm, cls="grid") if firm else None,
        element("p", apart, cls="dim") if loose else None,
        element("div", *loose, cls="grid") if loose else None,
    ]


def finding_card(finding: Finding, *, change: Change = as_options) -> Html:
    """One finding; `change` words a change of plan for whoever reads it: for the command line or for Python."""
    head = element(
        "header",
        element("span", f"{kind(finding)} ", code(finding.code), cls="kind"),
        element("span", finding.standing, cls="dim", attributes={"title": STANDINGS[finding.standing]})
        if finding.standing != "suspicion"
        else None,
        element("span", where(finding), cls="dim"),
    )
    return element(
        "article",
        head,
        element("h3", finding.title),
        evidence_table(finding.evidence) if finding.evidence else None,
        labeled("Why", finding.why) if finding.why else None,
        element("ul", *(remedy_item(r, change) for r in finding.remedies), cls="remedies")
        if finding.remedies
        else None,
        labeled("Verified", finding.verified) if finding.verified else None,
        excluded(finding.excluded) if finding.excluded else None,
        cls=f"card finding {kind(finding)}",
    )


def labeled(label: str, *text: Child) -> Html:
    return element("p", element("span", f"{label}: ", cls="label"), *text)


def evidence_table(evidence: tuple[Evidence, ...]) -> Html:
    rows = [[e.what, join([element("b", e.value), limit_of(e)])] for e in evidence]
    return table(["", ""], rows, cls="evidence")


def limit_of(evidence: Evidence) -> Html | None:
    return element("span", f" limit {evidence.limit}", cls="dim") if evidence.limit else None


def remedy_item(remedy: Remedy, change: Change) -> Html:
    setting = code(change(remedy.changes)) if remedy.changes else None
    badge = element("span", remedy.safety, cls=f"badge {remedy.safety.split()[0]}")
    return element("li", element("span", "Fix ", cls="label"), badge, " ", remedy.text, " ", setting)


def excluded(rivals: tuple[Excluded, ...]) -> Html:
    """Rival causes and the tests that excluded them, in one paragraph."""
    tests: list[Child] = [element("span", f"{r.cause.replace('_', ' ')} ({r.test})", cls="rival") for r in rivals]
    return element("p", element("span", "Excluded: ", cls="label"), join(tests, "; "), cls="dim")

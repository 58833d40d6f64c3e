"""Findings as cards: evidence, why, what to do, what was ruled out."""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.show.cards import STANDINGS, setting
from thalweg.show.findings import kind, tally, where
from thalweg.show.report.html import Child, Html, code, element, join, section, table
from thalweg.show.report.story import Story


def findings_section(story: Story) -> Html:
    """All findings, the gravest first; suspicions apart."""
    firm = [finding_card(f) for f in story.findings if kind(f) != "suspicion"]
    loose = [finding_card(f) for f in story.findings if kind(f) == "suspicion"]
    if not firm and not loose:
        judged = "check" in story.facts
        text = "Nothing was found." if judged else "Nothing was judged: the probes were off, or the run was cut short."
        return section("findings", "Findings", element("div", element("p", text), cls="card"))
    apart = "Suspicions: no experiment has shown them, so they do not count."
    return section(
        "findings",
        f"Findings: {tally(story.findings)}",
        element("div", *firm, cls="grid") if firm else None,
        element("p", apart, cls="dim") if loose else None,
        element("div", *loose, cls="grid") if loose else None,
    )


def finding_card(finding: Finding) -> Html:
    """One finding."""
    head = element(
        "header",
        element("span", f"{kind(finding)} ", code(finding.code), cls="kind"),
        element("span", where(finding), cls="dim"),
    )
    return element(
        "article",
        head,
        element("h3", finding.title),
        evidence_table(finding.evidence) if finding.evidence else None,
        labeled("Why", finding.why) if finding.why else None,
        element("ul", *(remedy_item(r) for r in finding.remedies), cls="remedies") if finding.remedies else None,
        labeled(finding.standing.capitalize(), STANDINGS[finding.standing]),
        *(excluded(rival) for rival in finding.excluded),
        cls=f"card finding {kind(finding)}",
        attributes={"id": f"finding-{finding.code}"},
    )


def labeled(label: str, *text: Child) -> Html:
    return element("p", element("span", f"{label}: ", cls="label"), *text)


def evidence_table(evidence: tuple[Evidence, ...]) -> Html:
    rows = [[e.what, element("b", e.value), f"limit {e.limit}" if e.limit else ""] for e in evidence]
    columns = 3 if any(e.limit for e in evidence) else 2
    return table([""] * columns, [row[:columns] for row in rows])


def remedy_item(remedy: Remedy) -> Html:
    settings = [code(f"--set {setting(name, value)}") for name, value in remedy.changes.items()]
    badge = element("span", remedy.safety, cls=f"badge {remedy.safety.split()[0]}")
    return element("li", element("span", "Fix ", cls="label"), badge, " ", remedy.text, " ", join(settings, " "))


def excluded(rival: Excluded) -> Html:
    return labeled("Excluded", rival.cause.replace("_", " "), ": ", rival.test)

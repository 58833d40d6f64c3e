"""The plan as it was carried out: each field, who decided it, and why."""

from collections.abc import Iterable, Mapping
from typing import Any

from thalweg.plan import Plan
from thalweg.show.report.html import Child, Html, card, code, element, section, table
from thalweg.show.report.story import Story

MEANINGS = {"automatic": "decided before the training", "you": "set by the user", "default": "the plan's default"}


def plan_section(story: Story) -> Html:
    """The resolved plan; a run that stopped before it was resolved shows what is known."""
    plan: dict[str, Any] = story.fact("plan")
    return section("plan", "Plan", card("", plan_table(plan, story.fact("decisions") or []))) if plan else Html()


def plan_table(plan: Mapping[str, Any], decisions: Iterable[Mapping[str, str]]) -> Html:
    """One row per field; an automatic choice within a part, such as its rate, has a row of its own."""
    reasons = {d["field"]: d["reason"] for d in decisions}
    defaults = Plan().to_json()
    rows: list[list[Child]] = []
    for name, value in plan.items():
        rows.append(plan_row(name, shown(value), reasons.get(name), default=value == defaults.get(name)))
        for field, reason in reasons.items():
            if field.startswith(f"{name}.") and isinstance(value, dict):
                rows.append(plan_row(field, shown(value.get(field.split(".")[1])), reason, default=False))
    columns = 4 if reasons else 3
    header = ["field", "value", "by", "reason"]
    return table(header[:columns], [row[:columns] for row in rows], cls="text")


def plan_row(name: str, value: str, reason: str | None, *, default: bool) -> list[Child]:
    source = "automatic" if reason is not None else "default" if default else "you"
    label = element("span", source, cls="dim nowrap", attributes={"title": MEANINGS[source]})
    return [element("span", name, cls="nowrap"), code(value), label, reason or ""]


def shown(value: Any) -> str:
    """A value as Python writes it; a part as `AdamW(lr=0.0032, ...)`.

    >>> shown({"name": "SGD", "lr": 0.1, "nesterov": True}), shown(None), shown("best")
    ('SGD(lr=0.1, nesterov=True)', 'None', 'best')
    """
    if isinstance(value, dict) and "name" in value:
        options = ", ".join(f"{k}={rounded(v)}" for k, v in value.items() if k != "name")
        return f"{value['name']}({options})"
    return value if isinstance(value, str) else rounded(value)


def rounded(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)

"""The plan as it was carried out: each field, who decided it, and why."""

from collections.abc import Iterable, Mapping
from typing import Any

from thalweg.plan import Plan
from thalweg.show.report.html import Child, Html, card, code, element, section, table
from thalweg.show.report.story import Story

MEANINGS = {"automatic": "decided before the training", "you": "set by the user", "default": "the plan's default"}


def plan_section(story: Story) -> Html:
    """The resolved plan; a run that stopped before it was resolved shows what is known."""
    return section("plan", "Plan", card("", plan_of(story))) if story.fact("plan") else Html()


def plan_of(story: Story) -> Html:
    return plan_table(story.fact("plan"), story.fact("decisions") or [], asked=story.fact("user_plan"))


def plan_table(
    plan: Mapping[str, Any], decisions: Iterable[Mapping[str, str]], *, asked: Mapping[str, Any] | None = None
) -> Html:
    """One row per field; an automatic choice within a part, such as its rate, has a row of its own.

    Args:
        plan: the resolved one, as JSON.
        decisions: field, value, reason.
        asked: the user's plan, where it is known.
    """
    reasons = {d["field"]: d["reason"] for d in decisions}
    defaults = Plan().to_json()
    given = defaults | dict(asked or plan)
    rows: list[list[Child]] = []
    for name, value in plan.items():
        source = source_of(reasons.get(name), value, asked=given.get(name), default=defaults.get(name))
        rows.append(plan_row(name, shown(value), reasons.get(name), source))
        for field, reason in reasons.items():
            if field.startswith(f"{name}.") and isinstance(value, dict):
                rows.append(plan_row(field, shown(value.get(field.split(".")[1])), reason, "automatic"))
    columns = 4 if reasons else 3
    header = ["field", "value", "by", "reason"]
    return table(header[:columns], [row[:columns] for row in rows], cls="text")


def source_of(reason: str | None, value: Any, *, asked: Any, default: Any) -> str:
    """Who decided a field, which may be automatic without a reason.

    >>> source_of(None, 0, asked="auto", default="auto"), source_of("asked for; changed at 3", 8, asked=8, default=None)
    ('automatic', 'you')
    """
    if reason is not None:
        return "you" if reason.startswith("asked for") else "automatic"
    return "you" if asked != default else "automatic" if value != default else "default"


def plan_row(name: str, value: str, reason: str | None, source: str) -> list[Child]:
    label = element("span", source, cls="dim nowrap", attributes={"title": MEANINGS[source]})
    return [element("span", name, cls="nowrap"), code(value), label, reason or ""]


def shown(value: Any) -> str:
    """A value as Python writes it; a part as `AdamW(lr=0.0032, ...)`, also inside another.

    >>> shown({"name": "SGD", "lr": 0.1, "nesterov": True}), shown(None), shown("best")
    ('SGD(lr=0.1, nesterov=True)', 'None', 'best')
    """
    return value if isinstance(value, str) else written(value)


def written(value: Any) -> str:
    """
    >>> written({"name": "Warmup", "then": {"name": "Step", "every": 1 / 3}, "form": "linear"})
    "Warmup(then=Step(every=0.333333), form='linear')"
    >>> written([0.5, 0.75]), written([1])
    ('(0.5, 0.75)', '(1,)')
    """
    if isinstance(value, dict) and "name" in value:
        options = ", ".join(f"{k}={written(v)}" for k, v in value.items() if k != "name")
        return f"{value['name']}({options})"
    if isinstance(value, list):  # a tuple in JSON
        return f"({', '.join(map(written, value))}{',' * (len(value) == 1)})"
    return repr(float(f"{value:.6g}") if isinstance(value, float) else value)  # 1.0 is a share of a training, 1 a step

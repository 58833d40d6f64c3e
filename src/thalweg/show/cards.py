"""A finding as a card in the manner of rustc: what, where, the evidence, why, and what to do."""

import json
from collections.abc import Mapping
from itertools import zip_longest

from rich.text import Text

from thalweg.findings import Evidence, Finding
from thalweg.show.findings import fix_label, kind, where
from thalweg.show.lines import hang, styled, wrapped

COLORS = {"error": "bold red", "warning": "bold yellow", "note": "bold blue", "suspicion": "bold magenta"}
STANDINGS = {
    "proven": "by a deterministic test",
    "verified": "by a paired measurement, whose interval excludes chance",
    "suspicion": "not shown by an experiment yet, so it does not count",
}
EDGE = "     "


def card(finding: Finding, *, width: int) -> list[Text]:
    """The finding in lines of at most `width` columns."""
    color = COLORS[kind(finding)]
    lines = hang(styled((f"  {kind(finding)}[{finding.code}]", color), ": "), styled((finding.title, "bold")),
                 width=width, indent=None if width >= 60 else 4)  # fmt: skip
    lines += hang(styled(("    --> ", "cyan")), styled(where(finding)), width=width)
    lines += evidence_lines(finding.evidence, width=width)
    lines += point("why", finding.why, "bold", width=width)
    for remedy in finding.remedies:
        lines += point(fix_label(remedy), remedy.text, "bold green", width=width)
        if remedy.changes:
            lines += hang(styled(EDGE, "  "), styled((as_options(remedy.changes), "cyan")), width=width)
    lines += point(finding.standing, finding.verified or STANDINGS[finding.standing], "bold", width=width)
    for rival in finding.excluded:
        lines += point("excluded", f"{rival.cause}: {rival.test}", "bold", width=width)
    return lines


def as_options(changes: Mapping[str, object]) -> str:
    """Changes of a plan for the command line.

    >>> print(as_options({"clip_norm": 1.0, "schedule": {"name": "Constant"}}))
    --set clip_norm=1.0  --set schedule='{"name": "Constant"}'
    """
    return "  ".join(f"--set {setting(name, value)}" for name, value in changes.items())


def setting(name: str, value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{name}='{text}'" if any(c in text for c in " {}[]\"'") else f"{name}={text}"


def as_call(changes: Mapping[str, object]) -> str:
    """Changes of a plan in Python.

    >>> as_call({"clip_norm": 1.0}), as_call({"epochs": 9, "optimizer.lr": 0.1})
    ('plan.replace(clip_norm=1.0)', "plan.replace(**{'epochs': 9, 'optimizer.lr': 0.1})")
    """
    if all(name.isidentifier() for name in changes):
        return f"plan.replace({', '.join(f'{name}={value!r}' for name, value in changes.items())})"
    return f"plan.replace(**{dict(changes)!r})"


def point(label: str, body: str, style: str, *, width: int) -> list[Text]:
    """`= why: because ...`, broken below its own text."""
    head = styled(EDGE, ("= ", "cyan"), (f"{label}: ", style))
    return hang(head, styled(body), width=width, indent=None if width >= 60 else len(EDGE) + 4) if body else []


def evidence_lines(evidence: tuple[Evidence, ...], *, width: int) -> list[Text]:
    """The evidence in aligned columns between two empty edges; where the width does not allow three, in two."""
    edge = styled(EDGE, ("| ", "cyan"))
    room = width - edge.cell_len
    rows = [(styled(e.what), styled((e.value, "bold")), f"(limit {e.limit})" if e.limit else "") for e in evidence]
    what = max((w.cell_len for w, _, _ in rows), default=0)
    value = max((v.cell_len for _, v, limit in rows if limit), default=0)
    lines = []
    for name, amount, limit in rows:
        beside = Text.assemble(name, " " * (what - name.cell_len + 2), amount)
        if limit:
            beside.append(" " * (value - amount.cell_len + 2)).append_text(styled((limit, "dim")))
        lines.append(beside)
    if any(line.cell_len > room for line in lines):
        lines = [line for row in rows for line in two_columns(*row, left=min(what, room * 11 // 20), room=room)]
    empty = Text.assemble(edge)
    return [empty, *(Text.assemble(edge, line) for line in lines), empty.copy()] if lines else [empty]


def two_columns(name: Text, amount: Text, limit: str, *, left: int, room: int) -> list[Text]:
    """What was measured on the left, the value with its limit beside or below it on the right, each broken for itself.

    On a narrow screen one below the other.
    """
    right = room - left - 2
    told = Text.assemble(amount, "  ", styled((limit, "dim"))) if limit else amount
    if right < 16:
        return wrapped(Text.assemble(name, ": ", told), room)
    if limit and told.cell_len > right:
        values = [*wrapped(amount, right), *wrapped(styled((limit, "dim")), right)]
    else:
        values = wrapped(told, right)
    names = wrapped(name, left)
    pairs = zip_longest(names, values, fillvalue=Text())
    return [Text.assemble(a, " " * (left + 2 - a.cell_len), b) for a, b in pairs]

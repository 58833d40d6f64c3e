"""A docstring as Markdown: formulas as blocks of code, arguments as a list, examples as Python, the source marked.

A docstring is read by its indentation. Lines that stand further in are a formula; `Args:`, `Raises:` and `Returns:`
begin sections; `>>>` begins an example, which ends at an empty line; all else is prose, which is Markdown already.
"""

import inspect
import re
from itertools import takewhile

SECTIONS = {"Args:": "Arguments", "Attributes:": "Attributes", "Raises:": "Raises", "Returns:": "Returns"}


def to_markdown(docstring: str) -> str:
    """The whole docstring."""
    lines = inspect.cleandoc(docstring).splitlines()
    parts: list[str] = []
    while lines:
        if not lines[0]:
            lines = lines[1:]
            continue
        if lines[0] in SECTIONS:
            heading, (body, lines) = SECTIONS[lines[0]], indented(lines[1:])
            parts.append(f"**{heading}**\n\n{listed(body)}")
        elif lines[0].startswith(" "):
            body, lines = indented(lines)
            parts.append(fenced("python" if body[0].startswith(">>>") else "text", body))
        else:
            body = list(takewhile(bool, lines))
            lines = lines[len(body) :]
            parts.append(fenced("python", body) if body[0].startswith(">>>") else prose(body))
    return "\n\n".join(parts)


def indented(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines up to the first that stands at the margin, without their indentation; and the rest."""
    body = list(takewhile(lambda line: not line or line.startswith(" "), lines))
    return inspect.cleandoc("\n".join(["", *body])).splitlines(), lines[len(body) :]


def fenced(language: str, body: list[str]) -> str:
    return "\n".join([f"```{language}", *body, "```"])


def prose(body: list[str]) -> str:
    """A paragraph; "Source:" at its head is marked, so that it is found."""
    return re.sub(r"^(Source|Raises|Note):", r"**\1:**", "\n".join(body))


def listed(body: list[str]) -> str:
    """`name: text` as a list, with continued lines joined; a section without names stays prose."""
    items: list[str] = []
    for line in body:
        if line.startswith(" ") and items:
            items[-1] += " " + line.strip()
        elif line:
            items.append(line)
    if not all(re.match(r"[\w*]+(, [\w*]+)*: ", item) for item in items):
        return "\n".join(line for line in body)
    return "\n".join("- " + re.sub(r"^([^:]+):", lambda m: f"{coded(m[1])}:", item) for item in items)


def coded(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))

"""HTML elements as text, in which everything is escaped that is not an element already."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape


class Html(str):
    """Text that is HTML already: what `element` returns, or a chart's SVG."""

    __slots__ = ()


Child = str | None
VOID = ("meta", "link", "br", "img")


def element(tag: str, *children: Child, cls: str = "", attributes: Mapping[str, str] | None = None) -> Html:
    """An element; text among its children is escaped, None is left out.

    >>> element("td", "<script>", cls="n")
    '<td class="n">&lt;script&gt;</td>'
    """
    named = {**({"class": cls} if cls else {}), **(attributes or {})}
    head = tag + "".join(f' {name}="{escape(value)}"' for name, value in named.items())
    return Html(f"<{head}>") if tag in VOID else Html(f"<{head}>{join(children)}</{tag}>")


def join(children: Iterable[Child], separator: str = "") -> Html:
    """Children one after another."""
    return Html(separator.join(c if isinstance(c, Html) else escape(visible(c)) for c in children if c is not None))


def visible(text: str) -> str:
    """Control characters as their Unicode pictures, as HTML forbids them; a number keeps its percent sign beside it."""
    text = "".join(chr(0x2400 + ord(c)) if ord(c) < 32 and c not in "\n\t" else c for c in text)
    return re.sub(r"(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", text)


def code(text: str) -> Html:
    return element("code", text)


def table(header: Sequence[str], rows: Iterable[Sequence[Child] | Html], *, cls: str = "") -> Html:
    """A table that scrolls inside its card where it is too wide; the first column names the row.

    A row that is `Html` already is taken as it is.
    """
    head = element("tr", *(element("th", name, attributes={"scope": "col"}) for name in header))
    body = join(row if isinstance(row, Html) else table_row(row) for row in rows)
    inner = element("table", element("thead", head) if any(header) else None, element("tbody", body), cls=cls)
    label = {"tabindex": "0", "role": "group", "aria-label": "table"}  # a scrolling box must be reachable by keyboard
    return element("div", inner, cls="scroll", attributes=label)


def table_row(cells: Sequence[Child], *, cls: str = "") -> Html:
    first, *rest = cells
    return element(
        "tr", element("th", first, attributes={"scope": "row"}), *(element("td", c or "") for c in rest), cls=cls
    )


def pairs(rows: Iterable[tuple[str, Child]]) -> Html:
    """Names and values, as a definition list; a value of None leaves its name out."""
    items = (join([element("dt", name), element("dd", value)]) for name, value in rows if value is not None)
    return element("dl", *items, cls="pairs")


def card(heading: str, *children: Child, note: str = "", cls: str = "") -> Html:
    """A box with a heading; without one where the section's says it."""
    remark = element("span" if heading else "p", note, cls="dim") if note else None
    title = element("h3", heading, remark) if heading else remark
    return element("div", title, *children, cls=f"card {cls}".strip())


def section(identity: str, heading: str, *children: Child) -> Html:
    """A part of the page with an anchor; nothing where it has no content."""
    if not any(children):
        return Html()
    return element("section", element("h2", heading), *children, attributes={"id": identity})

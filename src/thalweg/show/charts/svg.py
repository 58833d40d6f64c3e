"""Elements of SVG as text, and how wide a text is."""

import math
from collections.abc import Sequence
from html import escape

WIDTH = 440.0  # of a drawing in its own units: at 400 to 700 pixels its 11-unit labels are well read
# On a phone, where the drawing shrinks, the style sheet raises the labels from 11 to 14 units; room is left for those.
CHARACTER = 8.0
LINE = 15.0


def tag(name: str, *children: str, **attributes: str | float | None) -> str:
    """An element. Children are taken as they are, attributes are escaped; None leaves one out.

    Underscores in names become hyphens, one at the end is dropped: `text_anchor`, `class_`.

    >>> tag("rect", x=1.25, width=30.0, class_="a<b", rx=None)
    '<rect x="1.2" width="30" class="a&lt;b"/>'
    """
    head = name
    for key, value in attributes.items():
        if value is not None:
            head += f' {key.rstrip("_").replace("_", "-")}="{visible(value) if isinstance(value, str) else at(value)}"'
    return f"<{head}>{''.join(children)}</{name}>" if children else f"<{head}/>"


def at(value: float) -> str:
    """A coordinate with one decimal."""
    rounded = f"{value:.1f}".removesuffix(".0")
    return "0" if rounded == "-0" else rounded


def label(x: float, y: float, content: str, *, anchor: str = "start", cls: str | None = None) -> str:
    """A text whose vertical middle is at y."""
    # dominant-baseline is not inherited alike by all browsers; a third of the font size is the middle of digits.
    return tag("text", visible(content), x=x, y=y + 4, text_anchor=None if anchor == "start" else anchor, class_=cls)


def visible(content: str) -> str:
    """Escaped, with control characters as their pictures, because XML forbids them."""
    return escape("".join(chr(0x2400 + ord(c)) if ord(c) < 32 else c for c in content))


def width_of(content: str) -> float:
    """How wide a label is at most."""
    return len(content) * CHARACTER


def shorten(content: str, width: float) -> str:
    """A label that fits, its middle left out where it is too long.

    >>> shorten("layer2.1.relu2", 80)
    'layer…elu2'
    """
    count = max(int(width / CHARACTER), 3)
    if len(content) <= count:
        return content
    left = count // 2
    return content[:left] + "…" + content[len(content) - (count - 1 - left) :]


def drawing(kind: str, title: str, description: str, height: float, *parts: str, width: float = WIDTH) -> str:
    """The whole drawing, with what a screen reader says of it."""
    return tag(
        "svg",
        tag("title", visible(title)),
        tag("desc", visible(description)) if description else "",
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {at(width)} {at(height)}",
        class_=f"chart {kind}",
        role="img",
        aria_label=title,
    )


def nothing(kind: str, title: str, reason: str = "no finite values") -> str:
    """A drawing that says that there is nothing to draw."""
    return drawing(kind, title, reason, 60, label(WIDTH / 2, 30, reason, anchor="middle"))


def path(points: Sequence[tuple[float, float] | None]) -> str:
    """The commands of a line through the points; None leaves a gap, and a point between gaps becomes a dot.

    >>> path([(0, 1), (2, 3), None, (5, 5)])
    'M0 1L2 3M5 5h0'
    """
    commands: list[str] = []
    length = 0
    for point in [*points, None]:
        if point is None:
            commands += ["h0"] if length == 1 else []
            length = 0
        else:
            commands.append(f"{'L' if length else 'M'}{at(point[0])} {at(point[1])}")
            length += 1
    return "".join(commands)


def finite(values: Sequence[float]) -> list[float]:
    return [v for v in values if math.isfinite(v)]

"""Lines of styled text broken to a width, with the hanging indents that the terminal uses."""

from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.text import Text

from thalweg.show.text import clean

Piece = str | tuple[str, str]  # plain text, or text and its style
_console = Console(file=StringIO(), color_system=None, width=100)  # `Text.wrap` asks for one; nothing is printed to it


def styled(*pieces: Piece) -> Text:
    """One text from pieces; control characters in them become visible."""
    return Text.assemble(*((clean(p) if isinstance(p, str) else (clean(p[0]), p[1])) for p in pieces))


def hang(label: Text, body: Text, *, width: int, indent: int | None = None) -> list[Text]:
    """`label` followed by `body`, whose further lines start below its beginning, or at `indent`.

    >>> [line.plain for line in hang(Text("why: "), Text("the rate is too high"), width=15)]
    ['why: the rate', '     is too', '     high']
    """
    start = label.cell_len if indent is None else indent
    if label.cell_len > start or width - start < 10:  # no room beside the label: below it
        start = min(start, max(2, width - 24))
        below = [shifted(line, start) for line in wrapped(body, width - start)]
        return [*wrapped(label, width), *below]
    first, *rest = wrapped(body, width - start) or [Text()]
    padding = " " * (start - label.cell_len)
    return [Text.assemble(label, padding, first), *(shifted(line, start) for line in rest)]


def wrapped(text: Text, width: int) -> list[Text]:
    """The text in lines of at most `width` cells; a word that is longer is broken."""
    lines = list(text.wrap(_console, max(width, 4)))
    for line in lines:
        line.rstrip()
    return lines


def shifted(line: Text, indent: int) -> Text:
    return Text.assemble(" " * indent, line)


def flow(items: Sequence[Text], *, width: int, separator: str = "  ") -> Text:
    """Items in a row; where the next does not fit whole into a line, it starts a new one.

    >>> flow([Text("a b c"), Text("d e"), Text("f")], width=8).plain
    'a b c\\nd e  f'
    """
    text, used = Text(), 0
    for item in items:
        fits = used == 0 or used + len(separator) + item.cell_len <= width
        if used:
            text.append(separator if fits else "\n")
        text.append_text(item)
        used = used + item.cell_len + (len(separator) if used else 0) if fits else item.cell_len
    return text

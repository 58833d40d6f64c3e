"""A stream that text is printed to: its width, whether it takes colors, and which characters it can encode."""

import os
from collections.abc import Iterable
from itertools import accumulate
from typing import IO, TextIO

from rich.console import Console
from rich.text import Span, Text

from thalweg.events import GONE
from thalweg.show.lines import wrapped
from thalweg.show.text import to_ascii

WIDTH = 80  # where nobody says how wide the stream is
WIDEST = 100  # lines longer than this are hard to read
SAMPLE = "✓★→·…━▁█"


class Printer:
    """Prints lines that fit their stream.

    Colors are for terminals: `NO_COLOR` and `TERM=dumb` switch them off, `FORCE_COLOR` switches them on in a pipe.
    A stream whose encoding lacks the signs used here gets their ASCII forms.

    Args:
        stream: an open text stream.
        width: columns; by default `COLUMNS`, else what the terminal says, else 80; never more than 100.
    """

    def __init__(self, stream: TextIO, *, width: int | None = None) -> None:
        self.stream = stream
        self._width = width
        self.unicode = can_encode(stream, SAMPLE)
        self.terminal = is_terminal(stream)
        self.styled = takes_styles(stream)
        self.console = StillConsole(
            file=stream, width=self.width, force_terminal=self.terminal or self.styled,
            color_system="auto" if self.styled else None, no_color=not self.styled,
            highlight=False, markup=False, emoji=False, legacy_windows=False,
        )  # fmt: skip

    @property
    def width(self) -> int:
        """Columns a line may take; asked each time, because a window can be resized."""
        return self._width or max(20, min(columns_of(self.stream), WIDEST))

    def print(self, lines: Iterable[Text]) -> None:
        """Prints lines that were already broken to `width`, and flushes; in silence once nobody is there to read."""
        try:
            for line in lines:
                for part in self.readable(line):
                    part.rstrip()
                    self.console.print(part, soft_wrap=True)
            self.stream.flush()
        except OSError as error:
            if error.errno not in GONE:
                raise
            silence(self.stream)

    def readable(self, line: Text) -> list[Text]:
        """The line in characters that the stream can encode; broken again where these need more room."""
        if self.unicode and can_encode(self.stream, line.plain):
            return [line]
        signs = [to_ascii(c) for c in line.plain]
        edges = list(accumulate(map(len, signs), initial=0))
        spans = [Span(edges[s.start], edges[min(s.end, len(signs))], s.style) for s in line.spans]
        plain = Text("".join(signs), spans=spans)
        return [plain] if plain.cell_len <= self.width else wrapped(plain, self.width)


class StillConsole(Console):
    """A console that neither hides the cursor nor ends the program.

    A training killed in the middle leaves a usable terminal; one whose reader has left (`| head`) goes on in silence,
    because hours of work are not lost for a closed pipe.
    """

    def show_cursor(self, show: bool = True) -> bool:
        return False

    def on_broken_pipe(self) -> None:
        silence(self.file)


def silence(stream: IO[str]) -> None:
    """Sends to nowhere what is still written to a stream without a reader."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def can_encode(stream: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at this stream and a bar can move in it."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def takes_styles(stream: TextIO) -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def columns_of(stream: TextIO) -> int:
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    except (OSError, ValueError):  # a pipe, a file, a stream in memory
        return WIDTH

"""The manual pages of the rules in a terminal."""

from collections.abc import Iterable
from itertools import groupby

from rich.markdown import Markdown
from rich.text import Text

from thalweg.rules import family
from thalweg.show.lines import hang, styled
from thalweg.show.printer import Printer
from thalweg.show.text import to_ascii


def print_page(printer: Printer, markdown: str) -> None:
    """A page rendered for a person; a pipe gets the markdown as it is."""
    text = markdown if printer.unicode else to_ascii(markdown)
    if printer.styled:
        printer.console.print(Markdown(text, hyperlinks=False), width=printer.width)
    else:
        printer.stream.write(text.rstrip() + "\n")


def rule_list(rules: Iterable[tuple[str, str]], *, width: int) -> list[Text]:
    """Codes and names, one rule a line, under the names of their families."""
    lines: list[Text] = []
    for name, group in groupby(rules, key=lambda rule: family(rule[0])):
        lines += [*([Text()] if lines else []), styled((f"  {name}", "bold"))]
        for code, text in group:
            lines += hang(styled((f"    {code.ljust(9)}", "cyan")), styled(text), width=width)
    return lines

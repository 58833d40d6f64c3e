"""The box around everything a notebook shows, with its style: it touches nothing outside the box."""

from functools import cache
from pathlib import Path

from thalweg.show.report.html import Child, Html, element
from thalweg.show.style import DARK, LIGHT, parts

STYLE = Path(__file__).with_name("style.css")
# Twice, so that it wins against what notebooks say of tables and headings.
BOX = ".thalweg.thalweg"
# A notebook's theme is not the system's: JupyterLab and nbconvert, VS Code, Colab, and pages made with Sphinx say
# theirs on the body or the root. Elsewhere the ground is taken for light; text has the notebook's color in any case.
DARK_GROUNDS = (
    '[data-jp-theme-light="false"], .vscode-dark, .vscode-high-contrast:not(.vscode-high-contrast-light), '
    '[theme="dark"], [data-theme="dark"]'
)

# Text and lines take the notebook's color, and areas a little of their own.
OWN = """
  --fg: currentColor; --dim: color-mix(in srgb, currentColor 72%, transparent);
  --line: color-mix(in srgb, currentColor 18%, transparent); --shade: color-mix(in srgb, currentColor 8%, transparent);
  --ok-bg: color-mix(in srgb, var(--ok) 11%, transparent); --note-bg: color-mix(in srgb, var(--note) 11%, transparent);
  --warning-bg: color-mix(in srgb, var(--warning) 11%, transparent);
  --error-bg: color-mix(in srgb, var(--error) 11%, transparent);
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  max-width: 1080px; margin: 4px 0; text-align: left; overflow-wrap: anywhere;
"""


@cache
def style() -> Html:
    """The report's style and what a notebook needs besides, nested in the box."""
    own = STYLE.read_text(encoding="utf-8")
    grounds = f"{BOX} {{{LIGHT}}}\n:where({DARK_GROUNDS}) {BOX} {{{DARK}}}\n"
    return element("style", Html(f"{grounds}{BOX} {{{OWN}{parts()}{own}}}"))


def framed(*children: Child) -> Html:
    """The children in a box of their own."""
    return element("div", style(), *children, cls="thalweg")

"""What pages and notebooks share of their style: colors on a light and a dark ground, cards, tables, charts."""

from pathlib import Path

from thalweg.show.charts import STYLE as CHARTS

PARTS = Path(__file__).with_name("parts.css")

# Declarations, for whoever knows on which ground they stand. Text reads at 4.5:1 or better.
LIGHT = """
  --bg: #fbfaf7; --fg: #1d1f21; --dim: #62676d; --line: #e3e0d8; --card: #fff; --shade: #f4f2ec;
  --ok: #23693f; --warning: #955800; --error: #b3261e; --note: #1f5fbf; --suspicion: #7a3fa0;
  --ok-bg: #edf6ef; --warning-bg: #fff6e5; --error-bg: #fdeeec; --note-bg: #eef3fb;
  --c1: #1f5fbf; --c2: #c2571a; --c3: #23693f; --c4: #7a3fa0; --c5: #8a6a00; --c6: #b0306a;
"""
DARK = """
  --bg: #16181a; --fg: #e4e3df; --dim: #9aa0a6; --line: #33373b; --card: #1e2124; --shade: #262a2e;
  --ok: #6cc08b; --warning: #e0a13c; --error: #ff8a80; --note: #82b1ff; --suspicion: #cf9ff0;
  --ok-bg: #18271d; --warning-bg: #2c2414; --error-bg: #33191a; --note-bg: #182234;
  --c1: #82b1ff; --c2: #ff9e64; --c3: #6cc08b; --c4: #cf9ff0; --c5: #e0c050; --c6: #ff8ab8;
"""


def parts() -> str:
    """The style of cards, tables and charts."""
    return PARTS.read_text(encoding="utf-8") + CHARTS.read_text(encoding="utf-8")

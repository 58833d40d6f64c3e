"""A comparison drawn: as a chart, as a file of its own, and as a strip of characters for the terminal."""

from collections.abc import Sequence
from math import isfinite

from rich.text import Text

from thalweg.evaluate.comparison import Arm, Comparison
from thalweg.show.charts import STYLE, ArmRow, arm_plot
from thalweg.show.charts.arms import limits
from thalweg.show.charts.intervals import Interval
from thalweg.show.lines import styled
from thalweg.show.style import DARK, LIGHT
from thalweg.show.text import number

STRIP = 40  # characters
GROUNDS = (
    f".chart {{ {LIGHT} background: var(--card); }}\n@media (prefers-color-scheme: dark) {{ .chart {{ {DARK} }} }}\n"
)


def chart(comparison: Comparison) -> str:
    """Each arm with its seeds, its mean and its interval, the best first."""
    direction = "higher" if comparison.higher_is_better else "lower"
    return arm_plot(
        [ArmRow(mean_of(arm), arm.values) for arm in comparison.arms],
        seeds=comparison.seeds,
        title=f"{comparison.measure} of each arm by seed",
        x_label=f"{comparison.measure}, validation rows, {direction} is better",
    )


def mean_of(arm: Arm) -> Interval:
    low, high = arm.interval or (None, None)
    return Interval(arm.name, arm.mean, low, high, number(arm.mean))


def svg_file(comparison: Comparison) -> str:
    """The chart with its style, for a file: light or dark as the viewer is."""
    head, rest = chart(comparison).split(">", 1)
    return f"{head}><style>{GROUNDS}{STYLE.read_text(encoding='utf-8')}</style>{rest}\n"


def strip_lines(comparison: Comparison, *, width: int) -> list[Text]:
    """A line for each arm on a common axis: its seeds as dots, its mean, and the interval of that.

    >>> from thalweg.evaluate.comparison import compare_arms
    >>> values = {"SGD": [0.90, 0.91, 0.89, 0.92], "Adam": [0.93, 0.94, 0.93, 0.95]}
    >>> found = compare_arms(values, measure="accuracy", higher_is_better=True, seeds=range(4))
    >>> for line in strip_lines(found, width=60):
    ...     print(line.plain)
      Adam                     ────·──●·────·─    0.9375
      SGD     ──·────·─●─·────·───                0.9050
    """
    arms = [arm for arm in comparison.arms if isfinite(arm.mean)]
    columns = min(STRIP, width - 24)
    if not arms or columns < 10:
        return []
    ends = [end for arm in arms for end in arm.interval or ()]
    low, high = limits(ends, [value for arm in arms for value in known(arm.values)])
    room = min(max(len(arm.name) for arm in arms), width - columns - 15)
    names = [arm.name if len(arm.name) <= room else arm.name[: room - 1] + "…" for arm in arms]
    return [
        styled(f"  {name:{room}}  {strip(arm, low, high, columns)}  {number(arm.mean)}")
        for name, arm in zip(names, arms, strict=True)
    ]


def strip(arm: Arm, low: float, high: float, columns: int) -> str:
    """One axis of characters."""
    cells = [" "] * columns

    def place(value: float) -> int:
        return min(max(round((value - low) / (high - low) * (columns - 1)), 0), columns - 1)

    if arm.interval:
        first, last = map(place, arm.interval)
        cells[first : last + 1] = "─" * (last + 1 - first)
    for value in known(arm.values):
        cells[place(value)] = "·"
    cells[place(arm.mean)] = "●"
    return "".join(cells)


def known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]

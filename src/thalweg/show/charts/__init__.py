"""Charts as inline SVG: pure functions from numbers to text, without a dependency, a script or a network.

Every chart scales with its place and takes its look from `STYLE` and its colors from the page. Its `<title>` and
`<desc>` tell a screen reader what it shows. A caption or a heading is the page's business.
"""

from pathlib import Path

from thalweg.show.charts.arms import ArmRow, arm_plot
from thalweg.show.charts.bars import bar_chart, histogram
from thalweg.show.charts.confusion import confusion_matrix
from thalweg.show.charts.frame import Marker
from thalweg.show.charts.heat import heat_map
from thalweg.show.charts.intervals import Interval, interval_plot
from thalweg.show.charts.lines import Series, line_chart, xy_chart
from thalweg.show.charts.spark import sparkline

STYLE = Path(__file__).with_name("style.css")

__all__ = [
    "STYLE",
    "ArmRow",
    "Interval",
    "Marker",
    "Series",
    "arm_plot",
    "bar_chart",
    "confusion_matrix",
    "heat_map",
    "histogram",
    "interval_plot",
    "line_chart",
    "sparkline",
    "xy_chart",
]

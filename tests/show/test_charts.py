"""Charts are read back as XML: what is drawn, where it stands, and that nothing covers anything else."""

import math
import random
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.show import charts
from thalweg.show.charts import ArmRow, Interval, Marker, Series
from thalweg.show.charts.confusion import condensed
from thalweg.show.charts.heat import SHADES, shade
from thalweg.show.charts.scales import Scale, widened
from thalweg.show.charts.svg import WIDTH, width_of
from thalweg.show.charts.thin import POINTS, thin, thin_band

SVG = "{http://www.w3.org/2000/svg}"
NAN, INF = float("nan"), float("inf")
HOSTILE = 'a<b>&"\x1b\x00'


def parse(chart: str) -> ElementTree.Element:
    return ElementTree.fromstring(chart)


def texts(root: ElementTree.Element) -> list[ElementTree.Element]:
    """The labels that are not rotated."""
    rotated = {t for g in root.iter(f"{SVG}g") if g.get("transform") for t in g.iter(f"{SVG}text")}
    return [t for t in root.iter(f"{SVG}text") if t not in rotated]


def box(text: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of a label, as wide as it is laid out for."""
    x, y, width = float(text.get("x", 0)), float(text.get("y", 0)), width_of(text.text or "") * 0.95
    if "small" in (text.get("class") or ""):
        width *= 0.66
    left = x - {"middle": width / 2, "end": width}.get(text.get("text-anchor", ""), 0)
    return left, left + width, y - 10, y + 2


def paths(root: ElementTree.Element, cls: str) -> list[str]:
    found = [e.get("d", "") for e in root.iter(f"{SVG}path") if set(cls.split()) <= set((e.get("class") or "").split())]
    return [d for d in found if d]


def coordinates(d: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", d)]


def curve(num: int = 500, seed: int = 0) -> list[float]:
    generator = random.Random(seed)
    return [2 * math.exp(-4 * i / num) + generator.gauss(0, 0.05) + 0.3 for i in range(num)]


EVERY: dict[str, Callable[[str], str]] = {
    "line": lambda name: charts.line_chart(
        [Series(name, range(500), curve()), Series(f"{name} 2", range(500), curve(seed=1))],
        title=name,
        x_label=name,
        y_label=name,
        markers=[Marker(40, name, "error", name), Marker(480, "GEN02")],
        healthy=(0.5, 1.0),
    ),
    "log": lambda name: charts.line_chart(
        [Series(name, [1e-4, 1e-3, 1e-2], [0.0, 5.0, INF])], title=name, x_label=name, x_scale="log", y_scale="log"
    ),
    "band": lambda name: charts.line_chart(
        [Series(name, [0, 1, 2], [1, 2, 3], low=[0, 1, 2], high=[2, 3, 4])], title=name, x_label=name
    ),
    "one value": lambda name: charts.line_chart([Series(name, [3], [0.5])], title=name, x_label=name),
    "xy": lambda name: charts.xy_chart(
        [Series(name, [0, 0.5, 1], [0.1, 0.4, 0.9], look="step")], title=name, x_label=name, y_label=name, diagonal=True
    ),
    "points": lambda name: charts.xy_chart(
        [Series(name, [0, 0.5], [0.1, 0.4], low=[0, 0.3], high=[0.2, 0.5], look="points")],
        title=name,
        x_label=name,
        y_label=name,
        x_range=(0, 1),
        y_range=(0, 1),
    ),
    "heat": lambda name: charts.heat_map(
        [name, "fc"], [0, 10, 250], [[0.1, 0.0, NAN], [1, INF, 3]], title=name, x_label=name, y_label=name
    ),
    "confusion": lambda name: charts.confusion_matrix([[8, 2], [0, 5]], [name, "dog"], title=name),
    "confusion of 18": lambda name: charts.confusion_matrix(
        [[1500 if i == j else (i * j) % 7 for j in range(18)] for i in range(18)],
        [f"{name} {i}" for i in range(18)],
        title=name,
    ),
    "intervals": lambda name: charts.interval_plot(
        [Interval(name, 0.98, 0.96, 0.99, name), Interval("AUC", NAN), Interval("F1", 0.9)], title=name, x_label=name
    ),
    "arms": lambda name: charts.arm_plot(
        [
            ArmRow(Interval(name, 0.93, 0.7, 1.16, "0.93"), (0.92, 0.94, None)),
            ArmRow(Interval("b", 0.9, 0.89, 0.91, "0.9"), (0.89, NAN, 0.91)),
            ArmRow(Interval("lost", NAN, None, None, "–"), (None, None, None)),
        ],
        seeds=(0, 1, 2),
        title=name,
        x_label=name,
    ),
    "empty arms": lambda name: charts.arm_plot([ArmRow(Interval(name, NAN), (None,))], seeds=(0,), title=name),
    "bars": lambda name: charts.bar_chart([name, "no"], [1200, 0], title=name),
    "histogram": lambda name: charts.histogram([0, 1, 2, 4], [3, 5, 0], title=name, x_label=name, y_label=name),
    "spark": lambda name: charts.sparkline([1, NAN, 2, 3], title=name),
    "empty line": lambda name: charts.line_chart([Series(name, [1], [NAN])], title=name, x_label=name),
    "no series": lambda name: charts.line_chart([], title=name, x_label=name),
    "empty xy": lambda name: charts.xy_chart([], title=name, x_label=name, y_label=name),
    "empty heat": lambda name: charts.heat_map([name], [0], [[NAN]], title=name, x_label=name),
    "empty confusion": lambda name: charts.confusion_matrix([[0]], [name], title=name),
    "empty intervals": lambda name: charts.interval_plot([], title=name),
    "empty bars": lambda name: charts.bar_chart([], [], title=name),
    "empty histogram": lambda name: charts.histogram([0, 1], [0], title=name, x_label=name),
}


@pytest.mark.parametrize("kind", EVERY)
def test_every_chart_is_safe_accessible_and_scales(kind: str) -> None:
    chart = EVERY[kind](HOSTILE)
    root = parse(chart)
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title") is not None
    assert "a<b>" in (root.findtext(f"{SVG}title") or "")
    left, top, width, height = map(float, root.get("viewBox", "").split())
    assert (left, top) == (0, 0)
    assert width > 0
    assert height > 0
    assert root.get("width") is None
    numbers = " ".join(e.get(k, "") for e in root.iter() for k in ("d", "x", "y", "width", "height", "cx", "cy"))
    assert not re.search("nan|inf", numbers)
    assert "style=" not in chart
    assert "http" not in chart.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("kind", EVERY)
def test_no_label_covers_another_or_leaves_the_drawing(kind: str) -> None:
    root = parse(EVERY[kind]("a name of 20 letters"))
    _, _, width, height = map(float, root.get("viewBox", "").split())
    boxes = [(t.text, box(t)) for t in texts(root)]
    for text, (left, right, top, bottom) in boxes:
        assert left >= -1, text
        assert right <= width + 1, text
        assert top >= -2, text
        assert bottom <= height, text
    for (text, a), (other, b) in combinations(boxes, 2):
        wide, high = min(a[1], b[1]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[2], b[2])
        assert wide <= 0.5 or high <= 2, (text, other)


def test_the_points_stand_where_the_axes_say() -> None:
    root = parse(charts.line_chart([Series("a", [0, 50, 100], [0.0, 4.0, 10.0])], title="t", x_label="step"))
    (line,) = [d for d in paths(root, "line s1") if "L" in d]
    (x0, y0), (x1, y1), (x2, y2) = coordinates(line)
    ticks = {t.text: t for t in texts(root)}
    assert [float(ticks[name].get("x", 0)) for name in ("0", "100")] == pytest.approx([x0, x2], abs=15)
    assert float(ticks["10.0"].get("y", 0)) - 4 == pytest.approx(y2, abs=0.2)
    assert (x1 - x0) / (x2 - x0) == pytest.approx(0.5, abs=1e-3)
    assert (y0 - y1) / (y0 - y2) == pytest.approx(0.4, abs=1e-3)


def test_a_logarithmic_axis_gives_equal_steps_to_equal_factors() -> None:
    root = parse(
        charts.line_chart([Series("a", [0, 1, 2, 3], [1e-3, 0.1, 10.0, -1.0])], title="t", x_label="x", y_scale="log")
    )
    (line,) = [d for d in paths(root, "line s1") if "L" in d]
    points = coordinates(line)
    assert len(points) == 3  # what is not above 0 is left out
    assert points[0][1] - points[1][1] == pytest.approx(points[1][1] - points[2][1], abs=0.2)


def test_what_is_not_finite_leaves_a_gap() -> None:
    values = [1.0, 2.0, NAN, 2.0, INF, 3.0, 4.0]
    root = parse(charts.line_chart([Series("a", range(7), values)], title="t", x_label="x"))
    (line,) = [d for d in paths(root, "line s1") if "L" in d]
    assert [piece.count("L") for piece in line.split("M")[1:]] == [1, 0, 1]
    assert "h0" in line  # the lone value is a dot


def test_long_series_keep_their_spikes_within_the_budget() -> None:
    values = [0.0] * 100_000
    values[31_415], values[92_653] = 9.0, -9.0
    points = thin(range(100_000), values, 500)
    assert len(points) <= 502
    assert (31_415, 9.0) in points
    assert (92_653, -9.0) in points
    assert points[0] == (0, 0.0)
    assert points[-1] == (99_999, 0.0)
    many = [Series(f"s{k}", range(50_000), curve(50_000, k)) for k in range(4)]
    root = parse(charts.line_chart(many, title="t", x_label="step"))
    drawn = [len(coordinates(d)) for d in paths(root, "line") if d.count("L") > 1]
    assert len(drawn) == 4
    assert POINTS * 0.9 < sum(drawn) <= POINTS * 1.01


def test_a_single_missing_value_in_a_long_series_is_seen() -> None:
    values = [1.0] * 10_000
    values[5_000] = NAN
    assert thin(range(10_000), values, 100).count(None) == 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(4, 40))
@settings(max_examples=100, deadline=None)
def test_thinning_keeps_the_order_and_the_extent(values: list[float], count: int) -> None:
    points = [p for p in thin(range(len(values)), values, count) if p]
    assert [x for x, _ in points] == sorted({x for x, _ in points})
    assert all(values[int(x)] == y for x, y in points)
    assert {min(values), max(values)} <= {y for _, y in points}
    assert len(points) <= max(count + 2, 4)


def test_a_band_covers_what_it_stands_for() -> None:
    low = [math.sin(i / 50) - 1 for i in range(5000)]
    high = [v + 2 + (i == 777) * 5 for i, v in enumerate(low)]
    (outline,) = thin_band(range(5000), low, high, 200)
    assert max(y for _, y in outline) == max(high)
    assert min(y for _, y in outline) == min(low)
    pieces = thin_band([0, 1, 2, 3], [0, 0, NAN, 0], [1, 1, 1, 1], 100)
    assert len(pieces) == 2


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
@settings(max_examples=200, deadline=None)
def test_ticks_are_round_even_and_inside(low: float, width: float) -> None:
    scale = Scale(*widened(low, low + width, "linear"), 0, 1)
    ticks = scale.ticks(5)
    values = [v for v, _ in ticks]
    if scale.high - scale.low > 1e-9 * abs(low):
        assert 2 <= len(ticks) <= 7
        assert len({text for _, text in ticks}) == len(ticks)
        gaps = [b - a for a, b in pairwise(values)]
        mantissa = float(f"{gaps[0]:.1e}".split("e")[0])
        assert mantissa in (1.0, 2.0, 2.5, 5.0)
        assert max(gaps) == pytest.approx(min(gaps), rel=1e-3)
        tolerance = 1e-6 * (scale.high - scale.low)
        assert all(scale.low - tolerance <= v <= scale.high + tolerance for v in values)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 4000, ["0", "1,000", "2,000", "3,000", "4,000"]),
        (0, 3e6, ["0", "1M", "2M", "3M"]),
        (0.2, 0.31, ["0.20", "0.25", "0.30"]),
        (-1, 1, ["−1.0", "−0.5", "0", "0.5", "1.0"]),
        (0, 5e-6, ["0", "1e−6", "2e−6", "3e−6", "4e−6", "5e−6"]),
    ],
)
def test_tick_texts(low: float, high: float, expected: list[str]) -> None:
    assert [text for _, text in Scale(low, high, 0, 1).ticks(len(expected))] == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1e-5, 1, ["1e−5", "1e−4", "0.001", "0.01", "0.1", "1"]),
        (0.9, 21, ["1", "2", "5", "10", "20"]),
        (1e-30, 1e10, 4),
        (3.1, 3.2, 3),
    ],
)
def test_logarithmic_tick_texts(low: float, high: float, expected: list[str] | int) -> None:
    found = [text for _, text in Scale(low, high, 0, 1, "log").ticks(6)]
    if isinstance(expected, list):
        assert found == expected
    else:
        assert len(found) >= expected


def test_epochs_have_whole_ticks() -> None:
    root = parse(charts.line_chart([Series("a", [1, 2, 3], [0.5, 0.6, 0.7])], title="t", x_label="epoch"))
    assert [t.text for t in texts(root) if re.fullmatch(r"\d", t.text or "")] == ["1", "2", "3"]


def test_many_names_and_markers_never_overlap() -> None:
    series = [Series(f"configuration {k}", range(100), curve(100, k)) for k in range(9)]
    codes = ["ACT03", "GRAD07", "LOSS01", "GEN02", "RATE05", "INIT02"]
    markers = [Marker(20 + 3 * k, codes[k % 6]) for k in range(26)]
    root = parse(charts.line_chart(series, title="t", x_label="step", y_label="loss", markers=markers))
    boxes = [box(t) for t in texts(root)]
    for a, b in combinations(boxes, 2):
        assert min(a[1], b[1]) - max(a[0], b[0]) <= 0.5 or min(a[3], b[3]) - max(a[2], b[2]) <= 2
    groups = [g for g in root.iter(f"{SVG}g") if "marker" in (g.get("class") or "")]
    assert len(groups) == 26
    labeled = [g for g in groups if g.find(f"{SVG}text") is not None]
    assert len(labeled) >= 6
    for marker in groups:  # and no line runs through a label
        d = marker.findall(f"{SVG}path")[0].get("d", "")
        x, top, bottom = map(float, re.match(r"M([\d.]+) ([\d.]+)V([\d.]+)", d).groups())  # type: ignore[union-attr]
        for group in labeled:
            left, right, upper, lower = box(group.findall(f"{SVG}text")[0])
            assert not (left < x < right and upper < bottom and top < lower - 2)


def test_equal_markers_are_drawn_once_and_outside_ones_not_at_all() -> None:
    markers = [Marker(50, "ACT03"), Marker(50, "ACT03"), Marker(50, "GRAD07"), Marker(900, "GEN02"), Marker(NAN, "X")]
    root = parse(charts.line_chart([Series("a", range(100), curve(100))], title="t", x_label="x", markers=markers))
    assert [t.text for t in texts(root) if (t.text or "")[:1] in "AGX"] == ["ACT03", "GRAD07"]


def test_further_series_are_told_apart_by_a_dashed_line() -> None:
    series = [Series(f"{k}", [0, 1], [k, k + 1]) for k in range(8)]
    root = parse(charts.line_chart(series, title="t", x_label="x"))
    assert len(paths(root, "line s1")) > len(paths(root, "line s1 again")) > 0
    assert not paths(root, "line s3 again")


def test_steps_keep_a_value_until_the_next() -> None:
    root = parse(charts.xy_chart([Series("a", [0, 1, 2], [1, 2, 0], look="step")], title="t", x_label="x", y_label="y"))
    points = coordinates(paths(root, "line s1")[0])
    assert len(points) == 5
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(points))


def test_error_bars_reach_from_low_to_high() -> None:
    root = parse(EVERY["points"]("a"))
    (bars,) = [d for d in paths(root, "line s1") if "V" in d]
    ends = [tuple(map(float, pair)) for pair in re.findall(r" ([\d.]+)V([\d.]+)", bars)]
    (dots,) = paths(root, "dots")
    heights = [float(y) for y in re.findall(r" ([\d.]+)h0", dots)]
    assert all(low > y > high for (low, high), y in zip(ends, heights, strict=True))


def test_heat_colors_rise_with_the_value_by_orders_of_magnitude() -> None:
    def lightness(color: str) -> float:
        red, green, blue = (int(color[k : k + 2], 16) for k in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    ramp = [lightness(shade(k / (SHADES - 1))) for k in range(SHADES)]
    assert ramp == sorted(ramp)
    root = parse(
        charts.heat_map(["a"], [0, 1, 2], [[1e-4, 1e-2, 1.0]], title="t", x_label="x")  # equal factors
    )
    cells = [p.get("fill") for p in root.iter(f"{SVG}path") if p.get("fill")]
    assert cells == [shade(0), shade(0.5), shade(1)]


def test_zeros_infinities_and_gaps_are_not_colors_of_the_scale() -> None:
    root = parse(charts.heat_map(["a"], range(4), [[0.0, NAN, INF, 1.0]], title="t", x_label="x"))
    classes = [p.get("class") for p in root.iter(f"{SVG}path") if p.get("class") != "tick"]
    assert classes.count("zero") == classes.count("bad") == 1
    assert {"zero", "infinite"} <= {t.text for t in texts(root)}


def test_a_long_heat_map_loses_no_zero() -> None:
    row = [1.0 + 0.001 * i for i in range(5000)]
    row[3333] = 0.0
    root = parse(charts.heat_map(["a", "b"], range(5000), [row, row[::-1]], title="t", x_label="x"))
    (zero,) = paths(root, "zero")
    assert zero.count("M") == 2
    assert len(charts.heat_map(["a"], range(5000), [row], title="t", x_label="x")) < 20_000


def test_the_confusion_matrix_shows_counts_and_shares() -> None:
    root = parse(charts.confusion_matrix([[8, 2], [0, 5]], ["cat", "dog"], title="t"))
    said = {t.text for t in root.iter(f"{SVG}title")}
    assert {
        "cat is right: 8 of 10 (80.0 %)",
        "cat taken for dog: 2 of 10 (20.0 %)",
        "dog is right: 5 of 5 (100 %)",
    } <= said
    assert root.findtext(f"{SVG}desc") == "13 of 15 rows are right, over 2 classes."
    cells = {r.get("class"): float(r.get("fill-opacity", 0)) for r in root.iter(f"{SVG}rect") if r.get("fill-opacity")}
    assert cells["right"] > cells["wrong"] > 0.1


def test_many_classes_are_condensed_to_the_most_confused() -> None:
    counts = [[50 if i == j else 0 for j in range(100)] for i in range(100)]
    counts[40][41], counts[90][3] = 9, 7
    merged, names = condensed(counts, [f"c{i}" for i in range(100)])
    assert len(names) == len(merged) == 30
    assert {"c40", "c41", "c90", "c3"} <= set(names)
    assert names[-1] == "others"
    assert sum(map(sum, merged)) == sum(map(sum, counts))
    assert merged[names.index("c40")][names.index("c41")] == 9
    parse(charts.confusion_matrix(counts, [f"c{i}" for i in range(100)], title="t"))


def test_intervals_stay_within_their_limits() -> None:
    rows = [Interval("accuracy", 0.98, 0.96, 0.99, "98 %"), Interval("recall", 1.0, 0.9, 1.0, "100 %")]
    root = parse(charts.interval_plot(rows, title="t", limits=(0, 1)))
    centers = [float(c.get("cx", 0)) for c in root.iter(f"{SVG}circle")]
    ends = [tuple(map(float, re.findall(r"^M([\d.]+) [\d.]+H([\d.]+)", d)[0])) for d in paths(root, "line s1")]
    assert all(low < center <= high for center, (low, high) in zip(centers, ends, strict=True))
    labels = [t.text for t in texts(root)]
    assert "1.00" in labels
    assert not any(re.fullmatch(r"1\.0[1-9]|1\.[1-9]", text or "") for text in labels)


def test_arms_stand_at_their_values_and_pairs_are_joined() -> None:
    rows = [
        ArmRow(Interval("a", 0.92, 0.91, 0.93, "0.92"), (0.90, 0.94)),
        ArmRow(Interval("b", 0.82, -5.0, 6.0, "0.82"), (0.80, 0.84)),
        ArmRow(Interval("c", 0.86, 0.85, 0.87, "0.86"), (0.86, None)),
    ]
    root = parse(charts.arm_plot(rows, seeds=(3, 8), title="t"))
    seeds = [c for c in root.iter(f"{SVG}circle") if c.get("class") == "zero seed"]
    assert [c.findtext(f"{SVG}title") for c in seeds[:2]] == ["seed 3: 0.9", "seed 8: 0.94"]
    x = [float(c.get("cx", 0)) for c in seeds]
    assert (x[1] - x[0]) == pytest.approx(x[3] - x[2], abs=0.2)  # 0.04 each, on one axis
    assert (x[0] - x[2]) == pytest.approx(2.5 * (x[1] - x[0]), abs=0.3)
    joined = [coordinates(d) for d in paths(root, "pair")]
    assert [len(points) for points in joined] == [3, 2]  # a seed that an arm has no value for joins the others
    assert [p[0] for p in joined[0]] == pytest.approx([x[0], x[2], x[4]], abs=0.11)
    first, wide = (d for d in paths(root, "line s1")[:2])
    assert first.count("v8") == 2  # both ends have a cap
    assert wide.count("v8") == 0  # an interval without end in sight runs out without
    assert all(0 <= place <= WIDTH for place, _ in coordinates(wide))


def test_bars_are_as_long_as_their_values() -> None:
    root = parse(charts.bar_chart(["a", "b", "c"], [100, 50, 0], title="t"))
    lengths = [float(r.get("width", 0)) for r in root.iter(f"{SVG}rect")]
    assert lengths[1] == pytest.approx(lengths[0] / 2, abs=0.1)
    assert lengths[2] == 0
    heights = parse(charts.histogram([0, 1, 3], [4, 2], title="t", x_label="x"))
    (high, wide), (low, wider) = [
        (float(r.get("height", 0)), float(r.get("width", 0))) for r in heights.iter(f"{SVG}rect")
    ]
    assert low == pytest.approx(high / 2, abs=0.2)
    assert wider + 0.5 == pytest.approx(2 * (wide + 0.5), abs=0.3)


def test_what_a_screen_reader_says() -> None:
    chart = charts.line_chart([Series("train", [0, 1, 2], [2.0, NAN, 0.5])], title="Loss by step", x_label="step")
    root = parse(chart)
    assert root.get("aria-label") == root.findtext(f"{SVG}title") == "Loss by step"
    assert root.findtext(f"{SVG}desc") == "train: 3 values from 2.000 to 0.5000, between 0.5000 and 2.000."


def test_every_class_that_is_drawn_has_a_style() -> None:
    style = charts.STYLE.read_text()
    drawn = {c for make in EVERY.values() for e in parse(make("x")).iter() for c in (e.get("class") or "").split()}
    unstyled = {c for c in drawn if f".{c}" not in style}
    assert unstyled <= {"lines", "points", "intervals", "arms", "seed", "pair", "bars", "histogram", "note"}


def test_the_width_of_the_drawing_is_kept() -> None:
    for kind in ("line", "heat", "confusion of 18", "bars"):
        assert parse(EVERY[kind]("x")).get("viewBox", "").split()[2] == f"{WIDTH:.0f}"


def test_drawing_needs_no_torch() -> None:
    code = "import sys, thalweg.show.charts; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_interval_beyond_the_limits_is_drawn() -> None:
    root = parse(charts.interval_plot([Interval("r2", -0.5, -0.9, -0.1, "")], title="t", limits=(0, 1)))
    ((start, end),) = [re.findall(r"^M([\d.]+) [\d.]+H([\d.]+)", d)[0] for d in paths(root, "line s1")]
    assert float(start) < float(end)

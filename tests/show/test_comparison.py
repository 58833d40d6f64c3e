"""A comparison as a picture: in a file, and as a strip of characters."""

import math
from xml.etree import ElementTree

from thalweg.evaluate.comparison import compare_arms
from thalweg.show.comparison import STRIP, strip_lines, svg_file
from thalweg.show.text import to_ascii

VALUES = {
    "ReLU": [0.90, 0.91, 0.89],
    "a name that is much too long for a strip": [0.93, None, 0.95],
    "lost": [None] * 3,
}


def found(values=VALUES):
    return compare_arms(values, measure="accuracy", higher_is_better=True, seeds=range(3))


def test_the_file_needs_nothing_else() -> None:
    text = svg_file(found())
    root = ElementTree.fromstring(text)
    style = root.findtext("{http://www.w3.org/2000/svg}style") or ""
    assert ".chart .zero" in style
    assert "--c1:" in style
    assert "prefers-color-scheme: dark" in style
    assert "accuracy, validation rows, higher is better" in text


def test_strips_share_an_axis_and_fit() -> None:
    for width in (100, 80, 60, 40):
        lines = [line.plain for line in strip_lines(found(), width=width)]
        assert len(lines) == 2  # an arm without values has no place
        assert all(len(line) <= width for line in lines)
        assert lines[0].index("●") > lines[1].index("●")
        assert lines[1].count("·") + 1 >= 2
    assert strip_lines(found(), width=20) == []
    assert "?" not in to_ascii(lines[0].replace("…", "..."))


def test_a_strip_of_one_value() -> None:
    (line,) = strip_lines(found({"a": [0.5], "b": [math.nan]}), width=80)
    assert line.plain.split() == ["a", "●", "0.5000"]
    assert STRIP == 40


def test_nothing_known_draws_nothing() -> None:
    lost = found({"a": [None, None, None], "b": [None, None, None]})
    assert strip_lines(lost, width=80) == []
    assert "no finite values" in svg_file(lost)

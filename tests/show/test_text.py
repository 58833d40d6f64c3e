"""Numbers as text: they read back as what they were, and fit the columns they are made for."""

import math

from hypothesis import given
from hypothesis import strategies as st

from thalweg.events import EpochEnded
from thalweg.show.blocks import BLOCKS, sparkline, thinned
from thalweg.show.epochs import COLUMNS, EpochTable
from thalweg.show.lines import hang, styled
from thalweg.show.text import clean, compact, duration, measure, number, percent, rate, shorten, to_ascii

FINITE = st.floats(-1e300, 1e300)
ANY = st.floats()


@given(FINITE)
def test_a_number_reads_back_to_its_digits(value: float) -> None:
    digits = 4 if 1e-3 <= abs(value) < 999_950 else 3 if 1e-99 < abs(value) < 1e99 else 2
    assert math.isclose(float(number(value).replace(",", "")), value, rel_tol=0.51 * 10 ** (1 - digits), abs_tol=5e-324)


@given(FINITE)
def test_a_rate_reads_back_to_two_digits(value: float) -> None:
    assert math.isclose(float(rate(value)), value, rel_tol=0.06, abs_tol=5e-324)


@given(ANY)
def test_no_number_is_long(value: float) -> None:
    assert len(number(value)) <= 9
    assert len(rate(value)) <= 9
    if 0 <= value < 1e6:
        assert len(compact(value)) <= 5


@given(st.floats(0, 1e7))
def test_a_duration_is_right_to_its_second_unit(seconds: float) -> None:
    units = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = duration(seconds).split()
    told = sum(float(amount) * units[unit] for amount, unit in zip(parts[::2], parts[1::2], strict=True))
    last = units[parts[-1]] / (20 if parts[-1] == "s" and len(parts) == 2 else 1)
    assert abs(told - seconds) <= 1.001 * max(0.0005, last)


def test_shares_are_percentages_and_other_measures_are_not() -> None:
    assert measure("balanced_accuracy", 0.5) == "50.00 %"
    assert measure("validation.accuracy", 1.0) == "100 %"
    assert measure("rmse", 0.5) == "0.5000"
    assert percent(None) == "–"


@given(st.text(), st.integers(3, 60))
def test_shortened_text_keeps_its_ends(text: str, width: int) -> None:
    short = shorten(text, width)
    assert len(short) <= width
    assert short[:1] == text[:1]
    assert short[-1:] == text[-1:]


@given(st.text())
def test_clean_text_moves_no_cursor_and_ascii_is_ascii(text: str) -> None:
    assert all(c.isprintable() or c in "  " or ord(c) > 159 for c in clean(text))
    assert to_ascii(text).isascii()


@given(st.text(max_size=200), st.text(max_size=20), st.integers(20, 100))
def test_hanging_lines_fit_and_keep_every_word(body: str, label: str, width: int) -> None:
    lines = hang(styled(f"  {label}: "), styled(body), width=width)
    assert all(line.cell_len <= width for line in lines)
    told = "".join("".join(line.plain.split()) for line in lines)
    assert told == "".join(f"{clean(label)}:{clean(body)}".split())


EVENTS = st.builds(
    EpochEnded,
    epoch=st.integers(1, 99999),
    num_epochs=st.just(1),
    step=st.just(1),
    train_loss=ANY,
    validation_loss=ANY,
    metric_name=st.sampled_from(["accuracy", "a_name_that_is_too_long"]),
    metric=st.one_of(st.none(), st.floats(0, 1), st.sampled_from([math.nan, -3.5])),
    rate=st.one_of(st.just(0.0), st.floats(1e-99, 1e3)),
    gradient_norm=st.floats(0),
    update_ratio=st.floats(0),
    rows_per_second=st.floats(0, 1e9),
    seconds=st.floats(0, 9e5),
    best=st.booleans(),
)


@given(EVENTS)
def test_every_row_is_as_wide_as_its_header(event: EpochEnded) -> None:
    table = EpochTable()
    _, header, row = table.add(event, width=80)
    assert len(row) == len(header) <= 80
    assert len(row.plain.lstrip("★").split()) >= len(table.columns)  # a blank between neighbors, whatever they hold


def test_the_columns_fill_eighty() -> None:
    assert sum(column.width for column in COLUMNS if column.name != "penalty") == 80


@given(st.lists(ANY, min_size=1, max_size=300), st.integers(2, 60))
def test_a_sparkline_has_its_width_and_its_signs(values: list[float], width: int) -> None:
    line = sparkline(values, width=width)
    assert len(line) == min(width, len(values))
    assert set(line) <= set(BLOCKS) | {"x"}


def test_a_sparkline_of_a_tiny_span_rises() -> None:
    assert sparkline([0.0, 2.2e187, 8.5e-121], width=2) == BLOCKS[0] + BLOCKS[-1]


def test_a_sparkline_rises_with_its_values() -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8], width=8) == BLOCKS
    assert thinned([1.0, 3.0, 5.0, 7.0], 2) == [1.0, 7.0]

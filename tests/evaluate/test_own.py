"""The measure of a loss of the user's own, against scipy and by simulated coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from thalweg.errors import DataError
from thalweg.evaluate.own import measure_own
from thalweg.evaluate.result import Result


def test_equal_batches_give_the_interval_of_a_mean() -> None:
    losses = [0.3, 1.2, -0.4, 0.9, 2.2, 0.1]
    found = measure_own(losses, [8] * 6)["loss"]
    low, high = stats.t.interval(0.95, 5, loc=np.mean(losses), scale=stats.sem(losses))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.value, found.count) == (pytest.approx(np.mean(losses)), 48)


def test_batches_count_by_their_rows() -> None:
    assert measure_own([1.0, 4.0], [30, 10])["loss"].value == 1.75


def test_the_interval_covers_the_mean_of_the_rows() -> None:
    draw, hits = np.random.default_rng(0), 0
    for _ in range(1000):
        rows = draw.gamma(2.0, size=20 * 16 + 7)  # skewed losses, a short last batch
        batches = [rows[k : k + 16] for k in range(0, len(rows), 16)]
        found = measure_own([float(b.mean()) for b in batches], [len(b) for b in batches])["loss"]
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 2.0 <= found.high
    assert 930 <= hits <= 970


def test_what_cannot_be_told_is_said() -> None:
    few = measure_own([1.0, 2.0], [4, 4])["loss"]
    assert (few.low, few.note) == (None, "no interval: 2 batches of rows")
    lost = measure_own([1.0, math.nan], [4, 4])
    assert math.isnan(lost["loss"].value)
    assert Result.from_json(lost.to_json())["loss"].note == "not finite on some batch"
    with pytest.raises(DataError, match="no rows to measure"):
        measure_own([], [])

"""Gains on fresh seeds: the interval, and how often a change that gains nothing is accepted."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from thalweg.fix.trial import LEVELS, effect_of, looks
from thalweg.measure.score import Score


def scores(values: list[float], rows: int = 400) -> list[Score]:
    """Scores with such means, of rows that differ little: seeds decide."""
    return [Score("r2", torch.full((rows,), value, dtype=torch.float64), 0.0) for value in values]


def test_the_interval_is_students(monkeypatch: pytest.MonkeyPatch):
    before, after = [0.1, 0.2, 0.15], [0.5, 0.7, 0.55]
    found = effect_of(list(zip(scores(before), scores(after), strict=True)), share=0.5, level=0.005)
    low, high = stats.t.interval(0.99, 2, np.mean(np.subtract(after, before)), stats.sem(np.subtract(after, before)))
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)
    assert found.mean == pytest.approx(np.mean(np.subtract(after, before)))


def test_rows_that_say_little_widen_it():
    generator = torch.Generator().manual_seed(0)
    before = Score("accuracy", (torch.rand(50, generator=generator) > 0.5).double(), 0.5)
    after = Score("accuracy", (torch.rand(50, generator=generator) > 0.45).double(), 0.5)
    found = effect_of([(before, after)] * 3, share=1.0, level=0.005)  # seeds that agree exactly
    gain = after.each - before.each
    assert found.high - found.mean == pytest.approx(2 * float(gain.std()) / math.sqrt(50))


def test_a_change_that_gains_nothing_is_seldom_accepted():
    """Over all looks together at most 5 %, for normal and for skewed differences."""
    draw = np.random.default_rng(0)
    plan = looks([0.1, 0.25])
    repetitions = 4000
    for kind in ("normal", "skewed"):
        accepted = 0
        for _ in range(repetitions):
            # The second look is at the same seeds, further on: differences that have much in common.
            first = draw.normal(size=8) if kind == "normal" else draw.exponential(size=8) - 1
            second = 0.7 * first + math.sqrt(1 - 0.49) * (
                draw.normal(size=8) if kind == "normal" else draw.exponential(size=8) - 1
            )
            for level, (share, count) in zip(LEVELS, plan, strict=True):
                values = (first if share == 0.1 else second)[:count]
                half = stats.t.ppf(1 - level, count - 1) * stats.sem(values)
                if values.mean() - half > 0:
                    accepted += 1
                    break
        # Exponential differences are skewed to the right, which makes Student's test cautious on this side.
        assert accepted / repetitions <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repetitions), kind


def test_two_effects_add_up():
    first = effect_of(list(zip(scores([0.1, 0.2, 0.15]), scores([0.5, 0.7, 0.55]), strict=True)), share=0.1, level=0.01)
    second = effect_of(list(zip(scores([0.5, 0.7, 0.6]), scores([0.8, 0.9, 0.85]), strict=True)), share=0.3, level=0.01)
    both = second.after_another(first)
    assert both.mean == pytest.approx(first.mean + second.mean)
    assert both.high - both.mean == pytest.approx(math.hypot(first.high - first.mean, second.high - second.mean))
    assert both.share == 0.3
    assert (both.after, both.seeds) == (second.after, 3)

"""Paired differences: against scipy, closed forms, and by simulation, also of learners on splits that share rows."""

import math

import numpy as np
import pytest
from scipy import stats

from thalweg.evaluate import paired
from thalweg.evaluate.paired import (
    bca_constants,
    bca_interval,
    holm,
    sign_flip_test,
    standard_error,
    t_interval,
    t_test,
)


def skewed(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, size=count) - 1.5


@pytest.mark.parametrize("count", [5, 12, 40])
def test_bca_is_scipys(count):
    values = skewed(count)
    reference = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=200_000, rng=1).confidence_interval
    low, high = bca_interval(values, replicates=200_000, widened=False)
    # Three Monte-Carlo errors of a 2.5 % quantile of 200,000, whose density is about 0.058 / s, twice.
    error = 3 * math.sqrt(2 * 0.025 * 0.975 / 200_000) / 0.058 * values.std() / math.sqrt(count)
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=error)
    wider = bca_interval(values, replicates=200_000)
    assert wider[0] < low < high < wider[1]
    assert bca_interval(values) == bca_interval(list(values))  # the same draws


def test_bca_constants_of_a_mean_are_a_sixth_of_its_skewness():
    values = skewed(60)
    rows = np.random.default_rng(2).integers(60, size=(400_000, 60))
    bias, acceleration = bca_constants(values, np.sort(values[rows].mean(axis=1)))
    left_out = np.array([np.delete(values, k).mean() for k in range(60)])
    influence = left_out.mean() - left_out
    assert acceleration == pytest.approx((influence**3).sum() / (6 * (influence**2).sum() ** 1.5), rel=1e-9)
    assert acceleration == pytest.approx(stats.skew(values) / (6 * math.sqrt(60)), rel=1e-9)
    assert bias == pytest.approx(acceleration, abs=4 * 1.2533 * math.sqrt(1 / 400_000) + 1 / 60**1.5)  # Efron 1987


def test_bca_counts_ties_half():
    values = np.array([0.1] * 3 + [-0.1] * 3)
    rows = np.random.default_rng(0).integers(6, size=(100_000, 6))
    bias, acceleration = bca_constants(values, values[rows].mean(axis=1))
    assert abs(bias) < 4 * 1.2533 * math.sqrt(1 / 100_000)  # symmetric: many are 0 but for rounding
    assert acceleration == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("draw", "least"), [("normal", 0.92), ("exponential", 0.89)])
def test_bca_covers(draw, least):
    generator = np.random.default_rng(3)
    values = getattr(generator, draw)(size=(1500, 8))
    truth = {"normal": 0.0, "exponential": 1.0}[draw]
    covered = {True: 0, False: 0}
    for row in values:
        for widened in covered:
            low, high = bca_interval(row, replicates=1000, widened=widened)
            covered[widened] += low <= truth <= high
    assert covered[True] / 1500 > least
    assert covered[True] / 1500 < 0.95 + 4 * math.sqrt(0.95 * 0.05 / 1500)
    assert covered[False] < covered[True] - 50  # Efron's own is too narrow with eight


@pytest.mark.parametrize("count", [2, 3, 6, 11])
@pytest.mark.parametrize("coarse", [False, True])
def test_sign_flips_are_scipys(count, coarse):
    values = skewed(count, seed=count)
    if coarse:  # ties, as of accuracies on few rows
        values = np.round(values) * 0.1
    reference = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=2**count + 1)
    assert sign_flip_test(values) == pytest.approx(reference.pvalue, abs=1e-12)


def test_sums_that_are_equal_but_for_rounding_are_equal():
    tenths = [-3, -2, 4, 2, 5, 1, 2]
    assert sign_flip_test([0.1 * k for k in tenths]) == sign_flip_test(tenths) == 0.34375


def test_drawn_sign_flips_are_near_all_of_them(monkeypatch):
    values = skewed(18, seed=4) + 0.3
    exact = sign_flip_test(values)
    monkeypatch.setattr(paired, "EXACT", 5)
    drawn = sign_flip_test(values, draws=200_000)
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 200_000) + 1e-5)
    assert sign_flip_test(np.full(30, 2.0)) == 1 / 10_000  # never 0
    assert sign_flip_test(skewed(30, seed=1)) == sign_flip_test(skewed(30, seed=1))


def test_without_variation():
    assert t_interval([0.5]) is None
    assert t_test([0.5] * 5) == 0.0625  # t would be infinite
    assert t_test([0.5] * 6) == stats.binomtest(6, 6).pvalue == sign_flip_test([0.5] * 6)
    assert bca_interval([0.5] * 6) is None
    assert (t_test([]), sign_flip_test([])) == (1.0, 1.0)
    assert (t_test([0.0] * 4), sign_flip_test([0.0] * 4)) == (1.0, 1.0)


def test_holm_is_its_definition():
    generator = np.random.default_rng(6)
    for _ in range(20):
        chances = generator.uniform(size=7) ** 3
        for level in (0.01, 0.05, 0.2):
            rejected = set()
            for rank, k in enumerate(np.argsort(chances)):
                if chances[k] > level / (7 - rank):
                    break
                rejected.add(k)
            assert rejected == {k for k, p in enumerate(holm(list(chances))) if p <= level}


# ---------------------------------------------------------------------- splits that share rows


def test_the_corrected_error_is_nadeaus_and_bengios():
    values = skewed(10)
    spread = values.std(ddof=1)
    assert standard_error(values, overlap=0.25) == pytest.approx(spread * math.sqrt(1 / 10 + 20 / 80))
    t = values.mean() / (spread * math.sqrt(1 / 10 + 20 / 80))
    assert t_test(values, overlap=0.25) == pytest.approx(2 * stats.t.sf(abs(t), 9), rel=1e-9)
    low, high = t_interval(values, overlap=0.25)
    half = stats.t.ppf(0.975, 9) * spread * math.sqrt(0.35)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-9)


def test_correlated_differences_are_covered_where_their_correlation_is_the_assumed_one():
    generator = np.random.default_rng(7)
    shared = generator.normal(scale=math.sqrt(0.2), size=(4000, 1))  # of all splits of one data set: ρ = 20 / 100
    values = shared + generator.normal(scale=math.sqrt(0.8), size=(4000, 10))
    error = 4 * math.sqrt(0.05 * 0.95 / 4000)
    assert np.mean([t_test(row, overlap=0.25) <= 0.05 for row in values]) == pytest.approx(0.05, abs=error)
    assert np.mean([t_test(row) <= 0.05 for row in values]) > 0.2


def ridge_losses(x: np.ndarray, y: np.ndarray, training: np.ndarray, kind: str) -> float:
    """Mean validation loss of ridge on the columns of `x`; of labels of ±1 the share of errors."""
    inner = x[training].T @ x[training] + np.eye(x.shape[1])
    answers = x[~training] @ np.linalg.solve(inner, x[training].T @ y[training])
    return float(np.mean((answers - y[~training]) ** 2 if kind == "squared" else np.sign(answers) != y[~training]))


def splits(generator: np.random.Generator, design: str, rows: int) -> np.ndarray:
    """`[n, rows]`: which are for training; ten holdouts of a fifth, or five folds twice."""
    if design == "holdouts":
        return np.stack([generator.permutation(rows) >= rows // 5 for _ in range(10)])
    folds = [generator.permutation(rows) % 5 for _ in range(2)]
    return np.stack([fold != k for fold in folds for k in range(5)])


@pytest.mark.parametrize("design", ["holdouts", "folds"])
@pytest.mark.parametrize("kind", ["squared", "errors"])
def test_learners_on_splits_that_share_rows(design, kind):
    """Ridge on one half of the columns against the other: by symmetry their expected losses are equal."""
    generator, trials, wrong = np.random.default_rng(8), 800, {0.0: 0, 0.25: 0}
    for _ in range(trials):
        x = generator.normal(size=(200, 8))
        y = x.sum(axis=1) / 2 + generator.normal(size=200)
        if kind == "errors":
            y = np.sign(y)
        differences = [
            ridge_losses(x[:, :4], y, training, kind) - ridge_losses(x[:, 4:], y, training, kind)
            for training in splits(generator, design, 200)
        ]
        for overlap in wrong:
            wrong[overlap] += t_test(differences, overlap=overlap) <= 0.05
    assert wrong[0.0] / trials > 0.15  # far too sure
    assert wrong[0.25] / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)

"""The anytime-valid test: its formula against integrals, its promises by simulation under continuous peeking."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from thalweg.evaluate.sequential import FUTILE, Sequential, anytime, log_evidence, t_limit

RUNS, MOST = 20_000, 30


def t_after_each(values: np.ndarray) -> np.ndarray:
    """`[R, n]`: |mean| √n / s of the first 1, ..., n of each row."""
    count = np.arange(1, values.shape[1] + 1)
    mean = values.cumsum(axis=1) / count
    squares = (values**2).cumsum(axis=1) - count * mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(mean) / np.sqrt(squares / (count - 1)) * np.sqrt(count)


def first_shown(values: np.ndarray, *, level: float = 0.05, overlap: float = 0.0) -> np.ndarray:
    """`[R]`: after how many p is at the level or below; more than there are where it never is."""
    limits = [math.inf] + [t_limit(n, level=level, overlap=overlap) for n in range(2, values.shape[1] + 1)]
    crossed = t_after_each(values) >= np.array(limits)
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1, values.shape[1] + 1)


DRAWS = {
    "normal": lambda g, shape: g.normal(size=shape),
    "t5": lambda g, shape: g.standard_t(5, shape),
    "t2": lambda g, shape: g.standard_t(2, shape),
    "Laplace": lambda g, shape: g.laplace(size=shape),
    "two clusters": lambda g, shape: g.choice([-1.0, 1.0], shape) + 0.2 * g.normal(size=shape),
    "skewness 1": lambda g, shape: g.gamma(4.0, size=shape) - 4.0,
}


@pytest.mark.parametrize("name", DRAWS)
def test_equals_are_seldom_called_different_however_often_one_looks(name):
    values = DRAWS[name](np.random.default_rng(0), (RUNS, MOST))
    assert np.mean(first_shown(values) <= MOST) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)
    peeking = np.abs(t_after_each(values)[:, 1:]) >= stats.t.ppf(0.975, np.arange(1, MOST))
    assert np.mean(peeking.any(axis=1)) > 0.15  # what Student's t does, looked at after each


def test_what_is_not_promised():
    """Of strongly skewed differences with mean 0 more are called different, as by Student's t."""
    values = np.random.default_rng(1).exponential(size=(RUNS, 20)) - 1
    assert 0.08 < np.mean(first_shown(values) <= 20) < 0.12
    fixed = np.abs(t_after_each(values)[:, 9]) >= stats.t.ppf(0.975, 9)
    assert np.mean(fixed) > 0.08


@pytest.mark.parametrize(
    ("effect", "found", "seeds"), [(0.5, 0.25, 18.3), (1.0, 0.876, 12.7), (1.5, 0.998, 8.6), (2.0, 1.0, 7.1)]
)
def test_power_beside_a_fixed_number(effect, found, seeds):
    """Student's t on all 20, which cannot end before: 0.56, 0.99, 1, 1."""
    values = np.random.default_rng(2).normal(effect, 1.0, (RUNS, 20))
    first = first_shown(values)
    assert np.mean(first <= 20) == pytest.approx(found, abs=0.01)
    assert np.minimum(first, 20).mean() == pytest.approx(seeds, abs=0.15)


@pytest.mark.parametrize("overlap", [0.0, 0.25])
def test_the_evidence_is_the_ratio_of_likelihoods(overlap):
    def likelihood(t: float, count: int, variance: float) -> float:
        """Density of t, with an effect of mean 0 and this variance."""
        if variance == 0:
            return stats.t.pdf(t, count - 1)
        scale = math.sqrt(variance)

        def density(effect: float) -> float:
            return stats.norm.pdf(effect, scale=scale) * stats.nct.pdf(t, count - 1, effect * math.sqrt(count))

        return integrate.quad(density, -8 * scale, 8.01 * scale, limit=200)[0]

    for t, count in ((0.3, 5), (2.0, 3), (4.0, 10), (6.0, 6), (3.0, 20)):
        ratio = likelihood(t, count, overlap + 1) / likelihood(t, count, overlap)
        assert math.exp(log_evidence(t * t, count, overlap=overlap)) == pytest.approx(ratio, rel=1e-6)


def test_the_limit_is_where_the_evidence_is_one_over_the_level():
    for level in (0.05, 0.05 / 6):
        for overlap in (0.0, 0.1, 0.25):
            for count in range(2, 60):
                limit = t_limit(count, level=level, overlap=overlap)
                if math.isinf(limit) and 2.0 ** (1 - count) > level:
                    continue  # signs alone cannot show it
                if math.isinf(limit):
                    assert math.exp(log_evidence(1e12, count, overlap=overlap)) < 1 / level
                else:
                    assert math.exp(log_evidence(limit**2, count, overlap=overlap)) == pytest.approx(1 / level)


def test_one_at_a_time_is_all_at_once():
    values = np.random.default_rng(3).normal(0.8, 1.0, (50, 15))
    first = first_shown(values)
    for row, expected in zip(values, first, strict=True):
        test, shown, smallest = Sequential(), 16, 1.0
        for count, value in enumerate(row, start=1):
            test.add(value)
            assert test.p <= smallest
            smallest = test.p
            shown = min(shown, count if test.p <= 0.05 else 16)
            excluded = test.interval is not None and not test.interval[0] <= 0 <= test.interval[1]
            assert (test.p <= 0.05) == excluded  # p and interval say the same
        assert shown == expected
        assert test.mean == pytest.approx(row.mean())
        assert test.deviation == pytest.approx(row.std(ddof=1))
        assert (test.p, test.interval) == (anytime(row).p, anytime(row).interval)


def test_the_unit_does_not_matter():
    values = np.random.default_rng(4).normal(0.8, 1.0, 12)
    assert anytime(values * 1e-6).p == pytest.approx(anytime(values).p)
    assert anytime(-values).p == pytest.approx(anytime(values).p)
    low, high = anytime(values).interval
    assert anytime(-1e3 * values).interval == pytest.approx((-1e3 * high, -1e3 * low))


def test_the_interval_holds_the_mean_at_all_times_together():
    generator = np.random.default_rng(5)
    missed, widths = 0, []
    for row in generator.normal(0.7, 1.0, (1500, 25)):
        test = anytime(row)
        missed += not test.interval[0] <= 0.7 <= test.interval[1]  # what was excluded once stays so
        widths.append((test.interval[1] - test.interval[0]) / 2)
    assert missed / 1500 <= 0.05
    assert np.median(widths) < 0.8  # Student's t with 25: 0.41


def test_splits_that_share_rows():
    """What they do to all differences alike is no effect."""
    generator = np.random.default_rng(6)
    shared = generator.normal(scale=0.5, size=(RUNS, 1))
    values = shared + generator.normal(size=(RUNS, MOST))
    error = 3 * math.sqrt(0.05 * 0.95 / RUNS)
    assert np.mean(first_shown(values) <= MOST) > 0.12
    assert np.mean(first_shown(values, overlap=0.25) <= MOST) <= 0.05 + error
    assert np.mean(first_shown(values + 3.0, overlap=0.25) <= MOST) > 0.8


def test_chance_is_that_of_the_last_seed():
    """Against draws: σ and mean by what was measured, then the differences that are missing."""
    generator = np.random.default_rng(7)
    for smallest, shift in ((None, 0.7), (None, 0.2), (1.5, 0.3)):
        values = generator.normal(shift, 1.0, 8)
        test = anytime(values)
        test.smallest = smallest
        sigma = values.std(ddof=1) * np.sqrt(7 / generator.chisquare(7, 100_000))
        mean = generator.normal(values.mean(), sigma / math.sqrt(8))
        rest = generator.normal(mean, sigma / math.sqrt(12))
        last = (8 * values.mean() + 12 * rest) / 20
        half = t_limit(20) * values.std(ddof=1) / math.sqrt(20)
        decided = np.abs(last) > half
        if smallest is not None:
            decided |= np.abs(last) < smallest - half
        assert test.chance() == pytest.approx(decided.mean(), abs=4 * math.sqrt(0.25 / 100_000))


@pytest.mark.parametrize(
    ("effect", "decided", "seeds"), [(0.0, {"futile": 0.98}, 7.9), (1.0, {"better": 0.857, "futile": 0.143}, 11.5)]
)
def test_what_ending_early_saves_and_loses(effect, decided, seeds):
    generator, ends = np.random.default_rng(8), []
    for _ in range(2500):
        test = Sequential(most=20)
        while test.decided is None:
            test.add(generator.normal(effect))
        ends.append((test.decided, test.count))
    for name, share in decided.items():
        error = 4 * math.sqrt(share * (1 - share) / 2500)
        assert np.mean([end == name for end, _ in ends]) == pytest.approx(share, abs=error)
    assert np.mean([count for _, count in ends]) == pytest.approx(seeds, abs=0.5)


def test_decisions():
    better = anytime([1.0, 1.2, 0.9, 1.1, 1.0, 1.1])
    assert (better.decided, anytime([-1.0, -1.2, -0.9, -1.1, -1.0, -1.1]).decided) == ("better", "worse")
    assert anytime([1.0, 1.2]).decided is None  # two show nothing, whatever they are
    same = Sequential(most=50, smallest=0.5)
    for k in range(20):
        same.add(0.2 * (-1) ** k)
    assert same.decided == "equivalent"
    end = Sequential(most=8)
    for value in (1.0, 1.6, 0.7, 1.3, 0.4, 2.4, 0.5, -1.5):
        assert end.decided is None
        end.add(value)
    assert (end.decided, end.p > 0.05) == ("futile", True)
    assert Sequential().decided is None
    none = anytime([0.3, -0.2, -0.1, 0.0, 0.1, -0.1])
    assert none.chance() < FUTILE
    assert none.decided == "futile"


def test_differences_that_are_all_the_same_count_as_signs():
    assert [anytime([0.5] * n).p for n in (1, 5, 6, 8)] == pytest.approx([1.0, 2**-4, 2**-5, 2**-7])
    assert anytime([0.5] * 5).interval is None
    assert anytime([0.5] * 6).interval == (0.5, 0.5)
    zeros = anytime([0.0] * 10)
    assert (zeros.p, zeros.decided) == (1.0, "futile")


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_coarse_measures(rows):
    """Accuracies of equals on so few rows that they can differ in."""
    generator, runs = np.random.default_rng(9), 4000
    values = (generator.binomial(rows, 0.5, (runs, 20)) - generator.binomial(rows, 0.5, (runs, 20))) / rows
    shown = np.mean([anytime(row).p <= 0.05 for row in values])
    assert shown <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)

"""Power and numbers of pairs: against scipy's noncentral t, published figures, and by simulation."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from thalweg.evaluate.power import pairs_needed, power, unbiased_effect
from thalweg.evaluate.student import quantile


def t_at(level: float):
    return lambda count: quantile(1 - level / 2, count - 1)


def shown(deviation: float, shift: float, degrees: int, limit: float) -> float:
    """The integrand: density of √(V / ν), and P(|Z + shift| ≥ limit √(V / ν))."""
    density = stats.chi.pdf(deviation * math.sqrt(degrees), degrees) * math.sqrt(degrees)
    return density * (stats.norm.cdf(shift - limit * deviation) + stats.norm.cdf(-shift - limit * deviation))


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 30, 99])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # scipy's noncentral t where it has no value
def test_power_is_scipys(degrees):
    finite = 0
    for shift in (0.5, 2.0, 5.0, 12.0):
        for limit in (0.5, 2.0, 4.0, 12.7, 60.0):
            found = power(shift, degrees, limit)
            integral, _ = integrate.quad(
                shown, 0, 1 + 12 / math.sqrt(2 * degrees), (shift, degrees, limit),
                points=[min(shift / limit, 1.0)], limit=500, epsabs=1e-12,
            )  # fmt: skip
            assert found == pytest.approx(integral, abs=1e-7)
            reference = stats.nct.sf(limit, degrees, shift) + stats.nct.cdf(-limit, degrees, shift)
            if not math.isnan(reference):
                assert found == pytest.approx(reference, abs=1e-7)
                finite += 1
            assert power(-shift, degrees, limit) == pytest.approx(found, abs=1e-12)
    assert finite >= 14
    assert power(0.0, degrees, 2.0) == pytest.approx(2 * stats.t.sf(2.0, degrees), abs=1e-7)
    assert power(3.0, degrees, math.inf) == 0
    assert power(3.0, degrees, 0.0) == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize(("effect", "pairs"), [(0.5, 34), (0.8, 15), (1.0, 10), (0.3, 90)])
def test_numbers_are_the_tabulated_ones(effect, pairs):
    """G*Power 3.1, paired t test, two-sided, 0.05, power 0.80."""
    assert pairs_needed(effect, limit=t_at(0.05)) == pairs


def test_numbers_have_their_power_and_one_less_has_not():
    generator = np.random.default_rng(0)
    for effect, level, overlap in ((0.7, 0.05, 0.0), (1.0, 0.01, 0.0), (1.8, 0.05, 0.25)):
        needed = pairs_needed(effect, limit=t_at(level), overlap=overlap)
        shown = []
        for count in (needed, needed - 1):
            shared = generator.normal(scale=math.sqrt(overlap), size=(40_000, 1))  # what splits have in common
            values = effect + shared + generator.normal(size=(40_000, count))
            t = values.mean(axis=1) / values.std(axis=1, ddof=1) / math.sqrt(1 / count + overlap)
            shown.append(np.mean(np.abs(t) >= stats.t.ppf(1 - level / 2, count - 1)))
        error = 3 * math.sqrt(0.8 * 0.2 / 40_000)
        assert shown[0] > 0.8 - error
        assert shown[1] < 0.8 + error


def test_more_than_a_hundred_are_not_advised():
    assert pairs_needed(0.28, limit=t_at(0.05)) is None
    assert pairs_needed(0.29, limit=t_at(0.05)) == 96
    assert pairs_needed(1.0, limit=t_at(0.05), overlap=0.25) is None  # splits of the same rows never show it
    assert pairs_needed(5.0, limit=t_at(0.05), at_least=12) == 12
    assert pairs_needed(5.0, limit=t_at(0.05), at_least=101) is None


@pytest.mark.parametrize("count", [4, 5, 10])
def test_the_effect_is_unbiased(count):
    values = np.random.default_rng(count).normal(1.0, 1.0, (200_000, count))
    effects = values.mean(axis=1) / values.std(axis=1, ddof=1)
    estimates = np.array([unbiased_effect(effect, 1.0, count) for effect in effects[:1000]])
    factor = estimates[0] / abs(effects[0])
    assert estimates == pytest.approx(factor * np.abs(effects[:1000]))
    assert factor * effects.mean() == pytest.approx(1.0, abs=4 * effects.std() / math.sqrt(200_000) + 0.01)
    assert effects.mean() > 1.08  # what it corrects

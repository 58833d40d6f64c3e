"""The intervals against scipy, published tables and definitions, at points where these exist."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from thalweg.evaluate.areas import auc_interval, influences, newcombe
from thalweg.evaluate.bootstrap import Statistic, bootstrap, influence
from thalweg.evaluate.intervals import Z, f1_interval, mean_interval, mean_of_proportions, student_quantile, wilson
from thalweg.evaluate.weighted import average_precision_by_weight, r2_by_weight, rmse_by_weight
from thalweg.parts.metrics import average_precision, r2, rmse, roc_auc


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(counts):
    found = wilson(*counts)
    expected = stats.binomtest(*counts).proportion_ci(method="wilson")
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert mean_of_proportions([counts[0]], [counts[1]]) == pytest.approx(found, abs=1e-8)


def test_two_proportions_are_mees_interval_of_a_difference():
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 5.
    for (a, m, b, n), expected in (((56, 70, 48, 80), (0.0533, 0.3377)), ((9, 10, 3, 10), (0.1821, 0.8370))):
        low, high = mean_of_proportions([a, n - b], [m, n])
        assert (2 * low - 1, 2 * high - 1) == pytest.approx(expected, abs=5e-5)


def test_three_proportions_agree_with_a_constrained_search():
    hits, rows = np.array([4.0, 18.0, 90.0]), np.array([6.0, 30.0, 100.0])
    mean = (hits / rows).mean()

    def gap(at):
        def cost(p):
            return -(hits * np.log(p) + (rows - hits) * np.log(1 - p)).sum()

        fixed = {"type": "eq", "fun": lambda p: p.mean() - at}
        bounds = [(1e-6, 1 - 1e-6)] * 3
        found = optimize.minimize(cost, np.full(3, at), bounds=bounds, constraints=fixed, options={"ftol": 1e-12})
        return (mean - at) ** 2 / (found.x * (1 - found.x) / rows).sum() * 9 - Z**2

    low, high = mean_of_proportions(hits.tolist(), rows.tolist())
    assert low == pytest.approx(optimize.brentq(gap, 0.4, mean), abs=1e-4)
    assert high == pytest.approx(optimize.brentq(gap, mean, 0.95), abs=1e-4)


def test_perfect_and_hopeless_classes_keep_an_interval():
    assert mean_of_proportions([36] * 10, [36] * 10) == pytest.approx(wilson(360, 360), abs=1e-9)
    assert mean_of_proportions([0] * 10, [36] * 10) == pytest.approx(wilson(0, 360), abs=1e-9)
    low, high = mean_of_proportions([3, 0], [3, 7])
    assert 0.1 < low < 0.5 < high < 0.8


def test_f1_is_the_map_of_a_proportion():
    low, high = stats.binomtest(8, 12).proportion_ci(method="wilson")
    assert f1_interval(8, 4) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)), abs=1e-12)
    assert f1_interval(5, 0)[1] == 1.0
    assert f1_interval(0, 5)[0] == 0.0


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 15, 40, 1000])
def test_student_quantile_agrees_with_scipy(degrees):
    assert student_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=0.004)


def test_the_mean_of_symmetric_values_has_students_interval():
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0] * 8, dtype=torch.float64)
    expected = stats.t.interval(0.95, 39, loc=0, scale=values.std().item() / math.sqrt(40))
    assert mean_interval(values) == pytest.approx(expected, abs=1e-4)


def test_a_long_tail_reaches_further_than_students_interval():
    values = torch.tensor([0.1] * 36 + [3.0, 4.0, 5.0, 6.0], dtype=torch.float64)
    center, scale = values.mean().item(), values.std().item() / math.sqrt(40)
    low, high = mean_interval(values)
    plain = stats.t.interval(0.95, 39, loc=center, scale=scale)
    assert low > plain[0]
    assert high > plain[1]


def test_one_value_or_equal_values_have_no_interval():
    assert mean_interval(torch.ones(1, dtype=torch.float64)) is None
    assert mean_interval(torch.ones(5, dtype=torch.float64)) is None


tied_scores = st.integers(4, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-3, 3), min_size=n, max_size=n), st.lists(st.integers(0, 1), min_size=n, max_size=n)
    )
)


@settings(max_examples=80, deadline=None)
@given(tied_scores.filter(lambda rows: 2 <= sum(rows[1]) <= len(rows[1]) - 2))
def test_delong_agrees_with_its_definition_over_all_pairs(rows):
    scores, positive = torch.tensor(rows[0], dtype=torch.float64), torch.tensor(rows[1]) == 1
    kernel = np.sign(scores[positive].numpy()[:, None] - scores[~positive].numpy()[None]) / 2 + 0.5
    m, n = kernel.shape
    variance = kernel.mean(1).var(ddof=1) / m + kernel.mean(0).var(ddof=1) / n
    area, found = influences(scores, positive)
    assert area == pytest.approx(kernel.mean(), abs=1e-14)
    assert float(found.square().sum()) == pytest.approx(variance, abs=1e-14)
    assert area == pytest.approx(roc_auc(scores, positive.long()), abs=1e-14)


def test_newcombe_solves_its_equation():
    area, m, n = 0.9, 20, 50
    for at in newcombe(area, m, n):
        q1, q2 = at / (2 - at), 2 * at**2 / (1 + at)  # Hanley and McNeil 1982, both sizes at their mean
        size = (m + n) / 2
        variance = (at * (1 - at) + (size - 1) * (q1 - at**2) + (size - 1) * (q2 - at**2)) / (m * n)
        assert (area - at) ** 2 == pytest.approx(Z**2 * variance, rel=1e-9)


def test_a_perfect_ranking_is_not_certain():
    target = torch.tensor([0] * 30 + [1] * 10)
    interval = auc_interval([(torch.arange(40.0, dtype=torch.float64), target == 1)], target)
    assert interval.high == 1.0
    assert 0.7 < interval.low < 0.95
    reverse = auc_interval([(-torch.arange(40.0, dtype=torch.float64), target == 1)], target)
    assert (reverse.low, reverse.high) == pytest.approx((0.0, 1 - interval.low), abs=1e-9)


def test_one_row_of_a_class_still_has_an_interval():
    target = torch.tensor([0, 0, 0, 0, 1])
    interval = auc_interval([(torch.tensor([0.1, 0.4, 0.2, 0.9, 0.5], dtype=torch.float64), target == 1)], target)
    assert 0.0 <= interval.low < 0.75 < interval.high <= 1.0


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(7)
    true = torch.randint(2, (40,), generator=generator)
    score = (2 * torch.randn(40, generator=generator, dtype=torch.float64) + 2 * true).round()
    numbers = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    errors = 0.5 * torch.randn(40, 2, generator=generator, dtype=torch.float64)
    return true, score, numbers, errors


def test_weights_mean_repeated_rows(drawn):
    true, score, numbers, errors = drawn
    counts = torch.randint(0, 4, (3, 40), generator=torch.Generator().manual_seed(1))
    found = average_precision_by_weight(score, true)(counts.double())
    found_r2, found_rmse = r2_by_weight(errors, numbers)(counts.double()), rmse_by_weight(errors)(counts.double())
    for k in range(3):
        rows = torch.arange(40).repeat_interleave(counts[k])
        assert float(found[k]) == pytest.approx(average_precision(score[rows], true[rows]), abs=1e-13)
        predicted = numbers + errors
        assert float(found_r2[k]) == pytest.approx(r2(predicted[rows], numbers[rows]), abs=1e-12)
        assert float(found_rmse[k]) == pytest.approx(rmse(predicted[rows], numbers[rows]), abs=1e-12)


def test_the_influence_is_the_derivative_by_a_rows_weight(drawn):
    true, score, numbers, errors = drawn
    for function in (average_precision_by_weight(score, true), r2_by_weight(errors, numbers), rmse_by_weight(errors)):
        value, gradient = influence(Statistic(function, 40), 40)
        for row in (0, 13, 39):
            step = torch.ones(2, 40, dtype=torch.float64)
            step[0, row], step[1, row] = 1 + 1e-5, 1 - 1e-5
            up, down = function(step).tolist()
            assert float(gradient[row]) == pytest.approx((up - down) / 2e-5, abs=1e-7)
        assert value == pytest.approx(float(function(torch.ones(1, 40, dtype=torch.float64))), abs=1e-14)


def test_bca_agrees_with_scipy():
    generator = torch.Generator().manual_seed(11)
    error = torch.randn(60, generator=generator, dtype=torch.float64).exp() - 1
    found = bootstrap(Statistic(rmse_by_weight(error[:, None]), 10**9), num_rows=60, seed=0, replicates=20_000)
    expected = stats.bootstrap(
        (error.numpy(),), lambda e, axis: np.sqrt((e**2).mean(axis)), n_resamples=20_000, rng=np.random.default_rng(0)
    ).confidence_interval
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.02 * width)
    assert found.high == pytest.approx(expected.high, abs=0.02 * width)


def test_few_carrying_rows_reach_as_far_as_students_t():
    values = torch.randn(200, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def mean(weights):
        return weights @ values / weights.sum(1)

    spread = (values - values.mean()).square().mean().sqrt().item() / math.sqrt(200)
    for support in (8, 200):
        found = bootstrap(Statistic(mean, support), num_rows=200, seed=0, replicates=20_000)
        reach = math.sqrt(support / (support - 1)) * stats.t.ppf(0.975, support - 1)
        assert (found.high - found.low) / 2 == pytest.approx(reach * spread, rel=0.03)
    assert "rough" not in found.note


def test_many_rows_take_the_normal_approximation_and_agree_with_the_bootstrap(drawn, monkeypatch):
    true, score, _, _ = drawn
    many = 50
    statistic = Statistic(
        average_precision_by_weight(score.repeat(many), true.repeat(many)), int(true.sum()) * many, True
    )
    by_draws = bootstrap(statistic, num_rows=40 * many, seed=0)
    monkeypatch.setattr("thalweg.evaluate.bootstrap.BUDGET", 1)
    by_formula = bootstrap(statistic, num_rows=40 * many, seed=0)
    assert by_formula.method == "infinitesimal jackknife (logit)"
    width = by_draws.high - by_draws.low
    assert by_formula.low == pytest.approx(by_draws.low, abs=0.1 * width)
    assert by_formula.high == pytest.approx(by_draws.high, abs=0.1 * width)


def test_the_seed_decides_the_draws(drawn):
    true, score, _, _ = drawn
    statistic = Statistic(average_precision_by_weight(score, true), int(true.sum()))
    first, again, other = (bootstrap(statistic, num_rows=40, seed=seed, replicates=200) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_users_random_state_is_left_as_found(drawn):
    true, score, _, _ = drawn
    before = torch.get_rng_state()
    bootstrap(Statistic(average_precision_by_weight(score, true), 20), num_rows=40, seed=0, replicates=50)
    assert torch.equal(torch.get_rng_state(), before)

"""Comparisons against scipy, and the promises of their intervals and verdicts by simulation."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from thalweg.evaluate.comparison import Comparison, compare_arms, p_value, t_interval
from thalweg.evaluate.student import quantile, two_sided


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 8, 29, 30, 101])
def test_students_t_is_scipys(degrees):
    for t in (0.0, 1e-6, 0.3, 1.0, 2.5, -4.0, 12.0, 300.0, math.inf):
        assert two_sided(t, degrees) == pytest.approx(2 * stats.t.sf(abs(t), degrees), rel=1e-10, abs=2e-15)
    for p in (0.5, 0.8, 0.975, 0.9999):
        assert quantile(p, degrees) == pytest.approx(stats.t.ppf(p, degrees), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_pairs_are_scipys_paired_t_test(count):
    generator = np.random.default_rng(count)
    first, second = generator.normal(0.3, 1, count), generator.normal(size=count)
    found = compare_arms({"a": first, "b": second}, measure="m", higher_is_better=True, seeds=range(count))
    reference = stats.ttest_rel(first, second)
    only = found.differences[0]
    sign = 1 if only.better == "a" else -1
    low, high = reference.confidence_interval(0.95)
    assert only.p == pytest.approx(reference.pvalue, rel=1e-9)
    assert sorted((sign * only.low, sign * only.high)) == pytest.approx([low, high], rel=1e-9)
    assert only.mean == pytest.approx(abs((first - second).mean()))
    arm = next(arm for arm in found.arms if arm.name == "a")
    assert arm.interval == pytest.approx(stats.t.interval(0.95, count - 1, first.mean(), stats.sem(first)))


def compared(values: dict, *, higher: bool = True) -> Comparison:
    return compare_arms(values, measure="m", higher_is_better=higher, seeds=range(len(next(iter(values.values())))))


def test_holm_over_all_pairs():
    generator = np.random.default_rng(0)
    values = {name: generator.normal(mean, 1.0, 8) for name, mean in (("a", 0), ("b", 0.6), ("c", 2.0), ("d", 2.2))}
    found = compared(values)
    raw = sorted(stats.ttest_rel(values[d.better], values[d.worse]).pvalue for d in found.differences)
    corrected = np.minimum(np.maximum.accumulate(np.array(raw) * np.arange(6, 0, -1)), 1)
    assert [d.p for d in found.differences] == pytest.approx(list(corrected), rel=1e-9)
    assert len(found.differences) == 6
    assert all(d.real == (d.p <= 0.05) for d in found.differences)


def test_intervals_cover_and_equals_are_seldom_called_different():
    generator = np.random.default_rng(1)
    covered, wrong, trials = 0, 0, 1500
    for _ in range(trials):
        by_seed = generator.normal(scale=3.0, size=5)  # what a seed does to all arms
        low, high = t_interval(list(0.4 + generator.normal(size=5) + by_seed - by_seed))
        covered += low <= 0.4 <= high
        arms = {str(i): by_seed + generator.normal(size=5) for i in range(4)}
        wrong += any(d.real for d in compared(arms).differences)
    assert abs(covered / trials - 0.95) < 4 * math.sqrt(0.95 * 0.05 / trials)
    assert wrong / trials < 0.05 + 3 * math.sqrt(0.95 * 0.05 / trials)


def test_the_seeds_advised_show_it_four_times_in_five():
    generator = np.random.default_rng(2)
    base = np.array([1.0, -1.0, 0.6, -0.6, 0.0])
    observed = 0.8 + base * 1.0 / base.std(ddof=1)
    only = compared({"a": observed, "b": np.zeros(5)}).differences[0]
    assert only.verdict == f"needs about {only.more_seeds} more seeds"
    total = 5 + only.more_seeds
    shown = np.mean(stats.ttest_1samp(generator.normal(0.8, 1.0, (4000, total)), 0, axis=1).pvalue <= 0.05)
    assert 0.75 < shown < 0.85


def test_lower_is_better():
    loss = {"a": [0.5, 0.6, 0.55, 0.52], "b": [0.3, 0.41, 0.34, 0.33]}
    found = compared(loss, higher=False)
    assert found.best.name == "b"
    assert (found.differences[0].better, found.differences[0].verdict) == ("b", "real")
    assert compared(loss).best.name == "a"
    assert "lower is better" in str(found)


def test_equals_are_not_shown():
    same = compared({"a": [0.9, 0.8, 0.85], "b": [0.9, 0.8, 0.85]})
    assert same.differences[0].verdict == "not shown"
    assert same.differences[0].p == 1
    assert (same.differences[0].low, same.differences[0].high) == (0, 0)


def test_differences_without_deviation_are_left_to_the_sign_test():
    assert p_value([0.5] * 5) == 0.0625  # t would be infinite
    assert p_value([0.5] * 6) == stats.binomtest(6, 6).pvalue
    assert compared({"a": [1.5] * 5, "b": [1.0] * 5}).differences[0].verdict == "needs about 1 more seed"


def test_missing_values():
    found = compared({"a": [0.9, 0.8, None, 0.85], "b": [0.5, 0.55, 0.5, None], "c": [None] * 4})
    by_pair = {frozenset((d.better, d.worse)): d for d in found.differences}
    pair = by_pair[frozenset("ab")]
    assert (pair.pairs, pair.mean) == (2, pytest.approx(0.325))
    assert by_pair[frozenset("ac")].pairs == 0
    assert by_pair[frozenset("ac")].verdict == "not shown"
    assert [arm.name for arm in found.arms] == ["a", "b", "c"]
    assert "no seed in common" in str(found)
    one = compared({"a": [0.9], "b": [0.5]}).differences[0]
    assert (one.low, one.high, one.p, one.verdict) == (None, None, 1.0, "not shown")


def test_text_html_and_json():
    arms = {"ReLU": [0.9, 0.91, 0.92], "<b>": [0.5, 0.52, 0.51]}
    found = compare_arms(
        arms, measure="accuracy", higher_is_better=True, seeds=[3, 4, 5], runs={"ReLU": ["x/relu-1"]},
        folder="x", notes=["Only order and noise vary."],
    )  # fmt: skip
    lines = str(found).splitlines()
    assert lines[0] == "accuracy on the validation rows, higher is better"
    assert lines[1].split() == ["accuracy", "95", "%", "interval", "seed", "3,", "4,", "5"]
    assert lines[2].split() == ["ReLU", "0.91", "0.8852", "to", "0.9348", "0.9", "0.91", "0.92"]
    assert lines[-2].startswith("ReLU is better than <b>: 0.4 [")
    assert lines[-1] == "Only order and noise vary."
    html = found._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    data = json.loads(json.dumps(found.to_json()))
    assert data["differences"][0]["verdict"] == "real"
    assert data["arms"][0]["values"] == [0.9, 0.91, 0.92]
    assert found.runs == {"ReLU": ("x/relu-1",), "<b>": ()}


def test_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, thalweg.evaluate.comparison; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

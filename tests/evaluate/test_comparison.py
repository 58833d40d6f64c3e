"""Comparisons against scipy, and the promises of their intervals and verdicts by simulation."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from thalweg.evaluate.comparison import Comparison, compare_arms
from thalweg.evaluate.paired import bca_interval, sign_flip_test, t_interval, t_test
from thalweg.evaluate.sequential import anytime
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
    covered, wrong, trials = 0, 0, 800
    for _ in range(trials):
        by_seed = generator.normal(scale=3.0, size=5)  # what a seed does to all arms
        found = compared({str(k): by_seed + generator.normal(size=5) for k in range(3)})
        wrong += any(d.real for d in found.differences)
        first = next(d for d in found.differences if {d.better, d.worse} == {"0", "1"})
        covered += first.low <= 0 <= first.high
    assert abs(covered / trials - 0.95) < 4 * math.sqrt(0.95 * 0.05 / trials)
    assert wrong / trials < 0.05 + 3 * math.sqrt(0.95 * 0.05 / trials)


@pytest.mark.parametrize("seeds", [4, 5, 8])
def test_the_seeds_advised_show_a_difference_of_one_deviation(seeds):
    """As measured with few seeds, which is too large or too small: new seeds of that number show it all the same."""
    generator, runs = np.random.default_rng(seeds), 1500
    asked, shown, real = 0, 0, 0
    for values in generator.normal(1.0, 1.0, (runs, seeds)):
        only = compared({"a": values, "b": np.zeros(seeds)}).differences[0]
        real += only.real
        if only.more_seeds is not None:
            asked += 1
            shown += t_test(list(generator.normal(1.0, 1.0, seeds + only.more_seeds))) <= 0.05
    assert asked > 250
    assert shown / asked > 0.9
    assert (real + shown) / runs > 0.83  # of all, those that are thought chance included


@pytest.mark.parametrize(
    ("test", "overlap", "effect"), [("t", 0.0, 0.7), ("anytime", 0.0, 0.7), ("t", 0.1, 1.4), ("anytime", 0.1, 2.0)]
)
def test_the_seeds_advised_show_it_four_times_in_five_at_least(test, overlap, effect):
    generator = np.random.default_rng(2)
    base = np.array([1.0, -1.0, 0.6, -0.6, 0.0])
    observed = effect + base * 1.0 / base.std(ddof=1)
    found = compare_arms(
        {"a": observed, "b": np.zeros(5)}, measure="m", higher_is_better=True, seeds=range(5), test=test,
        overlap=overlap,
    )  # fmt: skip
    only = found.differences[0]
    assert only.verdict == f"needs about {only.more_seeds} more seeds"
    shared = generator.normal(scale=math.sqrt(overlap), size=(2000, 1))
    values = effect * 0.8 + shared + generator.normal(size=(2000, 5 + only.more_seeds))  # Hedges: 0.8 with five
    chances = [
        anytime(row, overlap=overlap).p if test == "anytime" else t_test(list(row), overlap=overlap) for row in values
    ]
    shown, error = np.mean(np.array(chances) <= 0.05), 3 * math.sqrt(0.8 * 0.2 / 2000)
    assert 0.8 - error < shown < 0.9 + error  # with "anytime" those count too that are shown before the last


def test_the_seeds_advised_are_for_the_level_that_a_pair_is_held_to():
    generator, advised = np.random.default_rng(5), set()
    for _ in range(40):
        values = {name: generator.normal(mean, 1.0, 6) for name, mean in (("a", 0), ("b", 0.4), ("c", 0.8))}
        for rank, d in enumerate(compared(values).differences):
            if d.more_seeds is None:
                continue
            differences = values[d.better] - values[d.worse]
            effect = differences.mean() / differences.std(ddof=1) * (1 - 3 / 19)
            enough = []
            for total in (6 + d.more_seeds, 5 + d.more_seeds):
                limit, shift = stats.t.ppf(1 - 0.025 / (3 - rank), total - 1), effect * math.sqrt(total)
                enough.append(stats.nct.sf(limit, total - 1, shift) >= 0.8)
            assert enough == [True, False] or (enough == [True, True] and d.more_seeds == 1)
            advised.add(rank)
    assert advised == {0, 1, 2}


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
    for test in ("t", "anytime"):
        found = compare_arms(
            {"a": [1.5] * 5, "b": [1.0] * 5}, measure="m", higher_is_better=True, seeds=range(5), test=test
        )
        assert (found.differences[0].p, found.differences[0].verdict) == (0.0625, "needs about 1 more seed")


def test_chance_and_too_many_seeds_are_not_advised():
    alternating = np.array([1.0, -1.0] * 10)
    assert compared({"a": alternating + 0.15, "b": np.zeros(20)}).differences[0].verdict == "not shown"  # p = 0.52
    few = compared({"a": alternating + 0.2, "b": np.zeros(20)}).differences[0]  # p = 0.39, and 0.2 take 200
    assert (few.p < 0.5, few.more_seeds) == (True, None)
    split = compare_arms(
        {"a": alternating[:6] + 1.0, "b": np.zeros(6)}, measure="m", higher_is_better=True, seeds=range(6), overlap=0.25
    )
    assert split.differences[0].more_seeds is None


def test_the_other_tests_are_beside_it():
    generator = np.random.default_rng(3)
    values = {name: generator.normal(mean, 1.0, 9) for name, mean in (("a", 0), ("b", 0.9), ("c", 2.0))}
    found = compared(values)
    flips = {}
    for d in found.differences:
        differences = list(values[d.better] - values[d.worse])
        assert d.bca == bca_interval(differences)
        flips[d] = sign_flip_test(differences)
    ordered = sorted(flips, key=flips.get)
    corrected = np.minimum(np.maximum.accumulate([flips[d] * m for d, m in zip(ordered, (3, 2, 1), strict=True)]), 1)
    assert [d.sign_flip for d in ordered] == pytest.approx(list(corrected))
    table = found.details().splitlines()
    assert table[0].split("  ")[-1].strip() == "sign-flip p"
    assert len(table) == 4
    first = found.differences[0]
    assert f"{first.bca[0]:.4g} to {first.bca[1]:.4g}" in table[1]
    data = json.loads(json.dumps(found.to_json()))
    assert data["differences"][0]["bca"] == list(first.bca)
    assert (data["test"], data["overlap"]) == ("t", 0.0)


def test_a_verdict_that_the_other_tests_contradict_is_said():
    outlier = compared({"a": [0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.1, 9.0], "b": [0.0] * 8})  # it hides the others in t
    assert not outlier.differences[0].real
    assert outlier.differences[0].sign_flip <= 0.05
    assert "a against b: sign flips have p = 0.0078" in str(outlier)
    assert "against the verdict" in outlier.remarks[0]
    few = compared({"a": [0.1, 0.2, 0.1, 0.2, 9.0], "b": [0.0] * 5})
    assert "sign flips" not in str(few)  # five can say nothing
    five = compared({"a": [1.0, 1.0, 1.1, 0.9, -0.05], "b": [0.0] * 5})
    assert (five.differences[0].real, five.differences[0].sign_flip) == (True, 0.125)
    assert five.remarks == ()
    usual = compared({"a": [0.3, 0.2, 0.25, 0.1, 0.3, 0.2, 0.2], "b": [0.0] * 7})
    assert usual.remarks == ()


def test_splits_and_looks_are_accounted_for():
    generator = np.random.default_rng(4)
    values = {"a": list(generator.normal(2.0, 1.0, 10)), "b": [*generator.normal(0.0, 1.0, 8), None, None]}
    differences = [a - b for a, b in zip(values["a"], values["b"], strict=True) if b is not None]
    common = {"measure": "m", "higher_is_better": True, "seeds": range(10)}
    split = compare_arms(values, overlap=0.25, **common)
    only = split.differences[0]
    assert (only.p, (only.low, only.high)) == (t_test(differences, overlap=0.25), t_interval(differences, overlap=0.25))
    assert (only.bca, only.sign_flip) == (None, None)
    assert split.arms[0].interval == t_interval(values["a"], overlap=0.25)
    assert "Nadeau and Bengio" in str(split)
    looked = compare_arms(values, test="anytime", **common)
    only, test = looked.differences[0], anytime(differences)
    assert (only.p, (only.low, only.high), only.pairs) == (test.p, test.interval, 8)
    assert "looked at after every seed" in str(looked)
    assert looked.to_json()["test"] == "anytime"


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


def test_rounding_is_no_difference():
    """One part in three million, the same way under every seed."""
    first = [0.61, 0.64, 0.59, 0.66, 0.62, 0.63]
    found = compare_arms(
        {"a": first, "b": [value * (1 + 3e-7) for value in first]},
        measure="loss",
        higher_is_better=False,
        seeds=range(6),
    )
    assert found.differences[0].p == 1
    assert found.differences[0].verdict == "not shown"

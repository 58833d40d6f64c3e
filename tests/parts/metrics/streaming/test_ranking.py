"""The histogram of scores: its order, its bound, and scikit-learn within it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from thalweg.errors import UsageError
from thalweg.parts.metrics import ExactRanking, Ranking, average_precision, roc_auc, roc_curve
from thalweg.parts.metrics.streaming.keys import bins_of, edges, valid_bins

any_float = st.floats(allow_nan=False, width=64) | st.sampled_from([0.0, -0.0, math.inf, -math.inf, 5e-324, 1e300])
nearby = st.floats(60, 61) | st.floats(-1e-6, 1e-6) | st.integers(-3, 3).map(float)  # many in one bin, and ties
probability = st.floats(0, 1) | st.floats(1 - 1e-9, 1) | st.floats(0, 1e-9) | st.sampled_from([0.0, 0.5, 1.0])


def rows_of(scores):
    return st.lists(st.tuples(scores, st.integers(0, 1)), min_size=2, max_size=60).filter(
        lambda rows: 0 < sum(y for _, y in rows) < len(rows)
    )


def held(rows, *, scores, bits, weight=None):
    """Asserts that both areas lie within the errors that are told, and returns them."""
    s, y = (torch.tensor(column) for column in zip(*rows, strict=True))
    s = s.double()
    found = Ranking(scores=scores, bits=bits).update(s, y, weight).compute()
    for name, exact in (("auc", roc_auc), ("average_precision", average_precision)):
        value = found[name]
        assert abs(value.value - exact(s, y, weight=weight)) <= value.error + 1e-12, name
    return found


@settings(max_examples=150, deadline=None)
@given(rows_of(any_float | nearby), st.sampled_from([10, 12, 14]))
def test_the_bound_holds_for_any_logits(rows, bits):
    held(rows, scores="logits", bits=bits)


@settings(max_examples=100, deadline=None)
@given(rows_of(probability), st.sampled_from([10, 12, 14]))
def test_the_bound_holds_for_any_probabilities(rows, bits):
    held(rows, scores="probabilities", bits=bits)


@settings(max_examples=60, deadline=None)
@given(rows_of(nearby), st.integers(0, 1000))
def test_the_bound_holds_with_weights(rows, seed):
    weight = torch.rand(len(rows), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3
    held(rows, scores="logits", bits=10, weight=weight + 1e-3)


def test_the_bound_of_rows_in_one_bin_is_reached():
    apart = torch.tensor([1.0, 1.001]), torch.tensor([0, 1])
    for y in (apart[1], 1 - apart[1]):
        found = Ranking(bits=12).update(apart[0], y).compute()
        assert (found["auc"].value, found["auc"].error) == (0.5, 0.5)
        exact = average_precision(apart[0], y)
        assert found["average_precision"].value + found["average_precision"].error >= exact
    # All positive rows at one score, then the negative ones: the most that four rows of a bin can have.
    tied = torch.tensor([1.002, 1.002, 1.001, 1.001]), torch.tensor([1, 1, 0, 0])
    above = torch.tensor([2.0, 2.0, 2.0]), torch.tensor([0, 0, 0])
    value = Ranking(bits=12).update(*tied).update(*above).compute()["average_precision"]
    exact = average_precision(torch.cat([tied[0], above[0]]), torch.cat([tied[1], above[1]]))
    assert value.value + value.error == pytest.approx(exact, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.lists(any_float | nearby, min_size=2, max_size=50), st.sampled_from([10, 14, 24]))
def test_bins_are_in_the_order_of_the_floats(values, bits):
    ordered = torch.tensor(values, dtype=torch.float64).sort().values
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        scores = ordered.to(dtype)
        bins, _ = bins_of(scores, "logits", bits)
        assert bool((bins.diff() >= 0).all())
        assert bool((bins[1:][scores[1:] == scores[:-1]] == bins[:-1][scores[1:] == scores[:-1]]).all())  # -0.0 is 0.0
        within = valid_bins("logits", bits)
        assert within.start <= int(bins.min())
        assert int(bins.max()) < within.stop
        if bits < 24:  # 16 million edges
            assert bool((edges("logits", bits)[bins] <= scores.float().double()).all())


@settings(max_examples=100, deadline=None)
@given(st.lists(probability, min_size=2, max_size=50), st.sampled_from([10, 14, 24]))
def test_bins_are_in_the_order_of_probabilities(values, bits):
    ordered = torch.tensor(values, dtype=torch.float64).sort().values
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        scores = ordered.to(dtype)
        bins, _ = bins_of(scores, "probabilities", bits)
        assert bool((bins.diff() >= 0).all())
        assert int(bins.min()) >= 0
        assert int(bins.max()) < valid_bins("probabilities", bits).stop


@pytest.mark.parametrize("bits", range(10, 25))
@pytest.mark.parametrize("value", [math.nan, -math.nan, -1e-30, -0.5, -math.inf, 1 + 1e-6, 1.5, 1e30, math.inf])
def test_what_is_no_probability_stays_outside_of_their_bins(bits, value):
    found = int(bins_of(torch.tensor([value]), "probabilities", bits)[0])
    assert valid_bins("probabilities", bits).stop <= found < 2**bits


@pytest.mark.parametrize("bits", range(10, 25))
def test_every_nan_stays_outside_of_the_bins_of_numbers(bits):
    patterns = torch.tensor([0x7F800001, 0x7FC00000, 0x7FFFFFFF, -0x007FFFFF, -0x00400000, -1], dtype=torch.int32)
    within = valid_bins("logits", bits)
    for nans in (patterns.view(torch.float32), patterns.view(torch.float32).double()):
        assert bool(nans.isnan().all())
        bins = bins_of(nans, "logits", bits)[0]
        assert bool(((bins < within.start) | (bins >= within.stop)).all())
        assert int(bins.min()) >= 0
        assert int(bins.max()) < 2**bits


@pytest.mark.parametrize(("dtype", "bits"), [(torch.bfloat16, 16), (torch.float16, 19)])
def test_scores_of_half_precision_are_exact(dtype, bits):
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (2000,), generator=generator)
    s = (torch.randn(2000, generator=generator) + y).to(dtype)
    found = Ranking(bits=bits).update(s, y).compute()
    assert found["auc"].error == found["average_precision"].error == 0
    assert found["auc"].value == pytest.approx(reference.roc_auc_score(y, s.double()), abs=1e-12)
    expected = reference.average_precision_score(y, s.double())
    assert found["average_precision"].value == pytest.approx(expected, abs=1e-12)
    p = s.double().sigmoid().to(dtype)
    found = Ranking(scores="probabilities", bits=bits).update(p, y).compute()
    assert found["auc"].error == 0
    assert found["auc"].value == pytest.approx(reference.roc_auc_score(y, p.double()), abs=1e-12)


def test_a_large_set_is_near_and_the_bound_is_small():
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (100_000,), generator=generator)
    s = torch.randn(100_000, generator=generator) + y
    found = Ranking().update(s, y).compute()
    assert found["auc"].value == pytest.approx(roc_auc(s, y), abs=2e-6)
    assert found["auc"].error < 2e-4
    assert found["average_precision"].value == pytest.approx(average_precision(s, y), abs=1e-5)
    assert found["average_precision"].error < 1e-3


def test_curves_pass_through_points_of_the_exact_one():
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(2, (500,), generator=generator)
    s = torch.randn(500, generator=generator) + y
    ranking = Ranking(bits=12).update(s, y)
    exact = set(zip(*(t.tolist() for t in roc_curve(s, y)[:2]), strict=True))
    false_rate, true_rate, thresholds = ranking.roc_curve()
    assert set(zip(false_rate.tolist(), true_rate.tolist(), strict=True)) <= exact
    for k in range(1, len(thresholds)):
        assert float((s >= thresholds[k])[y == 1].double().mean()) == true_rate[k]
    recall, precision, _ = ranking.precision_recall_curve()
    assert recall[-1] == 1
    assert precision[-1] == pytest.approx(float(y.double().mean()))
    p = s.sigmoid()
    ranking = Ranking(bits=12, scores="probabilities").update(p, y)
    false_rate, true_rate, thresholds = ranking.roc_curve()
    for k in range(1, len(thresholds)):
        assert float((p.double() >= thresholds[k])[y == 1].double().mean()) == true_rate[k]


@pytest.mark.parametrize("make", [Ranking, ExactRanking])
def test_ignored_rows_count_nowhere(make):
    s, y = torch.tensor([0.1, math.nan, 0.3, 0.5]), torch.tensor([0, -100, 1, -100])
    found = make(ignore_index=-100).update(s, y).compute()["auc"]
    assert (found.value, found.support) == (1.0, 2.0)


@pytest.mark.parametrize("make", [Ranking, ExactRanking])
def test_one_class_is_nan_with_reason_and_support(make):
    found = make().update(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1, 1, 1])).compute()
    for value in found.values():
        assert math.isnan(value.value)
        assert (value.reason, value.support) == ("all rows are of one class, so there is nothing to rank", 3.0)


@pytest.mark.parametrize("scores", ["logits", "probabilities"])
def test_two_columns_and_weights_agree_with_scikit_learn(scores):
    generator = torch.Generator().manual_seed(2)
    y = torch.randint(2, (300,), generator=generator)
    pair = torch.stack([torch.zeros(300), torch.randn(300, generator=generator) + y], 1).double()
    weight = torch.rand(300, generator=generator, dtype=torch.float64)
    given_rows = pair if scores == "logits" else pair.softmax(1)
    expected = reference.roc_auc_score(y, pair[:, 1], sample_weight=weight)
    precision = reference.average_precision_score(y, pair[:, 1], sample_weight=weight)
    exact = ExactRanking(scores=scores).update(given_rows, y, weight).compute()
    assert exact["auc"].value == pytest.approx(expected, abs=1e-12)
    assert exact["average_precision"].value == pytest.approx(precision, abs=1e-12)
    found = Ranking(scores=scores).update(given_rows, y, weight).compute()
    assert abs(found["auc"].value - expected) <= found["auc"].error
    assert abs(found["average_precision"].value - precision) <= found["average_precision"].error


def test_several_classes_without_rows_of_one_agree_with_scikit_learn_on_the_others():
    generator = torch.Generator().manual_seed(3)
    y = torch.tensor([0, 1, 3])[torch.randint(3, (200,), generator=generator)]
    logits = torch.randn(200, 4, generator=generator).double() + 2 * torch.nn.functional.one_hot(y, 4)
    p = logits.softmax(1).numpy()
    each = [reference.roc_auc_score(y == k, p[:, k]) for k in (0, 1, 3)]
    assert ExactRanking("multiclass", 4).update(logits, y).compute()["auc"].value == pytest.approx(
        np.mean(each), abs=1e-12
    )
    found = Ranking("multiclass", 4).update(logits, y).compute()["auc"]
    assert abs(found.value - np.mean(each)) <= found.error < 0.01


def test_settings_out_of_range_are_refused():
    with pytest.raises(UsageError, match="bits are from 10 to 24"):
        Ranking(bits=8)
    with pytest.raises(UsageError, match="take 200 GiB"):
        Ranking("multiclass", 800, bits=24)
    with pytest.raises(UsageError, match="kind is 'binary' or"):
        Ranking("binray")
    with pytest.raises(UsageError, match="num_classes=3; of a binary task it is 2"):
        ExactRanking(num_classes=3)

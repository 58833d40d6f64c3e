import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from thalweg.errors import DataError
from thalweg.parts.metrics import (
    average_precision,
    macro_average_precision,
    macro_roc_auc,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from thalweg.parts.metrics.ranking import why_undefined

# Scores on a coarse grid, so that ties are the rule.
tied = (
    st.integers(2, 80)
    .flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(-4, 4), min_size=n, max_size=n), st.lists(st.integers(0, 1), min_size=n, max_size=n)
        )
    )
    .filter(lambda rows: 0 < sum(rows[1]) < len(rows[1]))
)


@settings(max_examples=200, deadline=None)
@given(tied)
def test_areas_agree_with_scikit_learn_and_with_counting_pairs(rows):
    scores, true = rows
    ours = roc_auc(torch.tensor(scores, dtype=torch.float32), torch.tensor(true))
    assert ours == pytest.approx(reference.roc_auc_score(true, scores), abs=1e-13)
    inside, outside = ([s for s, y in zip(scores, true, strict=True) if y == k] for k in (1, 0))
    wins = sum((a > b) + (a == b) / 2 for a in inside for b in outside)
    assert ours == pytest.approx(wins / len(inside) / len(outside), abs=1e-15)
    ours = average_precision(torch.tensor(scores, dtype=torch.float32), torch.tensor(true))
    assert ours == pytest.approx(reference.average_precision_score(true, scores), abs=1e-13)


@settings(max_examples=100, deadline=None)
@given(tied)
def test_curves_agree_with_scikit_learn(rows):
    scores, true = rows
    ours = roc_curve(torch.tensor(scores, dtype=torch.float64), torch.tensor(true))
    theirs = reference.roc_curve(true, scores, drop_intermediate=False)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-15)
    recall, precision, thresholds = precision_recall_curve(
        torch.tensor(scores, dtype=torch.float64), torch.tensor(true)
    )
    their_precision, their_recall, their_thresholds = reference.precision_recall_curve(true, scores)
    np.testing.assert_allclose(recall.flip(0), their_recall[:-1], atol=1e-15)
    np.testing.assert_allclose(precision.flip(0), their_precision[:-1], atol=1e-15)
    np.testing.assert_allclose(thresholds.flip(0), their_thresholds, atol=0)


@settings(max_examples=100, deadline=None)
@given(tied)
def test_a_monotone_change_and_a_shuffle_of_the_rows_change_nothing(rows):
    scores, true = torch.tensor(rows[0], dtype=torch.float64), torch.tensor(rows[1])
    order = torch.randperm(len(true), generator=torch.Generator().manual_seed(len(true)))
    for measure in (roc_auc, average_precision):
        assert measure(scores.exp()[order], true[order]) == measure(scores, true)
    assert roc_auc(-scores, true) == pytest.approx(1 - roc_auc(scores, true), abs=1e-15)


def test_logits_near_60_keep_the_order_that_their_probabilities_lose():
    logits, true = torch.tensor([60.0, 61.0, 62.0, 63.0]), torch.tensor([0, 1, 0, 1])
    assert roc_auc(logits, true) == 0.75
    assert roc_auc(logits.sigmoid(), true) == 0.5
    three = torch.tensor([[60.0, 0.0, 0.0], [61.0, 0.0, 0.0], [62.0, 0.0, 0.0], [0.0, 70.0, 1.0]])
    # Class 0 ranks rightly, 1 and 2 by differences of 60 and more that float64 probabilities round to 1.
    assert macro_roc_auc(three, torch.tensor([1, 0, 0, 1])) == macro_roc_auc(three / 10, torch.tensor([1, 0, 0, 1]))


def test_several_classes_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(4, (200,), generator=generator)
    logits = torch.randn(200, 4, generator=generator) + 1.5 * torch.nn.functional.one_hot(true, 4)
    p = logits.double().softmax(1)
    expected = reference.roc_auc_score(true, p.numpy(), multi_class="ovr")
    assert macro_roc_auc(logits, true) == pytest.approx(expected, abs=1e-12)
    assert macro_roc_auc(p, true, scores="probabilities") == pytest.approx(expected, abs=1e-12)
    expected = reference.average_precision_score(torch.nn.functional.one_hot(true, 4).numpy(), p.numpy())
    assert macro_average_precision(logits, true) == pytest.approx(expected, abs=1e-12)


def test_a_class_without_rows_is_left_out_of_the_mean():
    true = torch.tensor([0, 1, 3, 3, 0, 1])
    p = torch.tensor(
        [
            [0.4, 0.3, 0.1, 0.2],
            [0.5, 0.3, 0.1, 0.1],
            [0.1, 0.1, 0.6, 0.2],
            [0.1, 0.2, 0.1, 0.6],
            [0.2, 0.3, 0.3, 0.2],
            [0.1, 0.7, 0.1, 0.1],
        ],
        dtype=torch.float64,
    )
    each = [reference.roc_auc_score(true == k, p[:, k].numpy()) for k in (0, 1, 3)]
    assert macro_roc_auc(p, true, scores="probabilities") == pytest.approx(sum(each) / 3, abs=1e-15)


@pytest.mark.parametrize("true", [[0, 0, 0], [1, 1, 1]])
def test_a_single_class_is_nan_with_its_reason(true):
    scores, target = torch.tensor([0.1, 0.2, 0.3]), torch.tensor(true)
    assert math.isnan(roc_auc(scores, target))
    assert math.isnan(average_precision(scores, target))
    assert why_undefined(target) == "all rows are of one class, so there is nothing to rank"
    assert math.isnan(macro_roc_auc(torch.randn(3, 4), target))


def test_no_rows_are_nan():
    assert math.isnan(roc_auc(torch.empty(0), torch.empty(0, dtype=torch.int64)))
    assert why_undefined(torch.empty(0)) == "there are no rows"


def test_constant_scores_are_a_coin_and_the_share_of_positives():
    scores, true = torch.zeros(8), torch.tensor([0, 1, 0, 0, 0, 1, 0, 0])
    assert roc_auc(scores, true) == 0.5
    assert average_precision(scores, true) == 0.25


def test_nan_scores_are_refused_and_infinite_ones_are_ranked():
    true = torch.tensor([0, 1, 1])
    with pytest.raises(DataError, match="1 NaN among 3 values"):
        roc_auc(torch.tensor([0.0, math.nan, 1.0]), true)
    assert roc_auc(torch.tensor([-math.inf, 0.0, math.inf]), true) == 1.0
    with pytest.raises(DataError, match="from 0 to 1; received 2"):
        roc_auc(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0, 1, 2]))

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from thalweg.errors import UsageError
from thalweg.parts.metrics import metric, partial_roc_auc, precision_at_recall, tpr_at_fpr

tied = (
    st.integers(2, 60)
    .flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(-4, 4), min_size=n, max_size=n),
            st.lists(st.integers(0, 1), min_size=n, max_size=n),
            st.lists(st.floats(0.1, 2), min_size=n, max_size=n),
        )
    )
    .filter(lambda rows: 0 < sum(rows[1]) < len(rows[1]))
)


@settings(max_examples=150, deadline=None)
@given(tied, st.floats(0.001, 1), st.booleans())
def test_points_and_areas_at_a_limit_are_those_of_scikit_learns_curves(rows, limit, weighted):
    s, y, w = rows
    w = w if weighted else None
    weight = None if w is None else torch.tensor(w, dtype=torch.float64)
    scores, true = torch.tensor(s, dtype=torch.float64), torch.tensor(y)
    false_rate, true_rate, _ = reference.roc_curve(y, s, drop_intermediate=False, sample_weight=w)
    if weighted and np.isclose([*false_rate, *true_rate], limit, atol=1e-12).any():
        return  # sums of weights round differently
    reached = true_rate[false_rate <= limit].max()
    assert tpr_at_fpr(scores, true, fpr=limit, weight=weight) == pytest.approx(reached, abs=1e-12)
    if not np.any(np.isclose(false_rate, limit, atol=1e-12)):
        between = np.interp(limit, false_rate, true_rate)
        found = tpr_at_fpr(scores, true, fpr=limit, interpolate=True, weight=weight)
        assert found == pytest.approx(between, abs=1e-9)
    precision, recall, _ = reference.precision_recall_curve(y, s, sample_weight=w)
    best = precision[:-1][recall[:-1] >= limit].max()
    assert precision_at_recall(scores, true, recall=limit, weight=weight) == pytest.approx(best, abs=1e-12)
    expected = reference.roc_auc_score(y, s, max_fpr=limit, sample_weight=w)
    assert partial_roc_auc(scores, true, max_fpr=limit, weight=weight) == pytest.approx(expected, abs=1e-9)


def test_the_rate_at_the_limit_itself_counts():
    scores, true = torch.arange(100.0).flip(0), torch.tensor([0] * 29 + [1] + [0] * 70)
    assert tpr_at_fpr(scores, true, fpr=28 / 99) == 0.0
    assert tpr_at_fpr(scores, true, fpr=29 / 99) == 1.0  # 29 of 99, a share that no float is equal to


def test_by_name():
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(2, (300,), generator=generator)
    logit = torch.randn(300, generator=generator) + true
    assert metric("tpr_at_fpr_0.05", "binary")(logit, true) == tpr_at_fpr(logit, true, fpr=0.05)
    assert metric("precision_at_recall_.9", "binary")(logit, true) == precision_at_recall(logit, true, recall=0.9)
    assert metric("partial_auc_0.1", "binary")(logit, true) == partial_roc_auc(logit, true, max_fpr=0.1)
    with pytest.raises(UsageError, match=r"'tpr_at_fpr_2' lies from 0 to 1; received 2"):
        metric("tpr_at_fpr_2", "binary")


def test_limits_out_of_range_and_one_class():
    scores, true = torch.tensor([0.1, 0.2]), torch.tensor([0, 1])
    for call in (
        lambda: tpr_at_fpr(scores, true, fpr=1.5),
        lambda: precision_at_recall(scores, true, recall=-0.1),
        lambda: partial_roc_auc(scores, true, max_fpr=0),
    ):
        with pytest.raises(UsageError, match=r"from 0 to 1|above 0"):
            call()
    assert math.isnan(tpr_at_fpr(scores, true * 0, fpr=0.1))
    assert math.isnan(precision_at_recall(scores, true * 0, recall=0.1))
    assert math.isnan(partial_roc_auc(scores, true * 0, max_fpr=0.1))

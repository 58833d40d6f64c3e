import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from thalweg.parts.metrics import macro_average_precision, macro_roc_auc, metric, one_vs_one_auc
from thalweg.parts.metrics.several_classes import log_odds

drawn = st.tuples(st.integers(3, 5), st.integers(0, 10_000))


@settings(max_examples=60, deadline=None)
@given(drawn)
def test_every_average_is_scikit_learns(sizes):
    classes, seed = sizes
    generator = torch.Generator().manual_seed(seed)
    true = torch.cat([torch.arange(classes), torch.randint(classes, (40,), generator=generator)])
    logits = torch.randn(len(true), classes, generator=generator, dtype=torch.float64).round(decimals=1)
    p = logits.softmax(1)
    p[:10] = p[10:20]  # ties across rows
    for average in ("macro", "weighted"):
        expected = reference.roc_auc_score(true, p, multi_class="ovr", average=average)
        found = macro_roc_auc(p, true, scores="probabilities", average=average)
        assert found == pytest.approx(expected, abs=1e-12)
        expected = reference.roc_auc_score(true, p, multi_class="ovo", average=average)
        found = one_vs_one_auc(p, true, scores="probabilities", average=average)
        assert found == pytest.approx(expected, abs=1e-12)
        indicators = torch.nn.functional.one_hot(true, classes)
        expected = reference.average_precision_score(indicators, p, average=average)
        found = macro_average_precision(p, true, scores="probabilities", average=average)
        assert found == pytest.approx(expected, abs=1e-12)


def test_logits_rank_as_their_probabilities_would_without_rounding():
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(4, (300,), generator=generator)
    logits = torch.randn(300, 4, generator=generator).double() + 2 * torch.nn.functional.one_hot(true, 4)
    p = logits.softmax(1)
    for name, measure in (("ovo_auc", one_vs_one_auc), ("auc", macro_roc_auc)):
        assert measure(logits, true) == pytest.approx(measure(p, true, scores="probabilities"), abs=1e-12)
        assert metric(name, "multiclass")(logits, true) == measure(logits, true)
    # A hundred times as sure, their probabilities are 0 and 1, and rank hardly anything.
    assert one_vs_one_auc(100 * logits, true) > one_vs_one_auc((100 * logits).softmax(1), true, scores="probabilities")


def test_log_odds_are_the_differences_to_the_log_sum_of_the_others():
    generator = torch.Generator().manual_seed(0)
    for scale in (0.1, 1.0, 60.0, 1000.0):
        logits = scale * torch.randn(50, 5, generator=generator, dtype=torch.float64)
        for k in range(5):
            others = torch.cat([logits[:, :k], logits[:, k + 1 :]], 1).logsumexp(1)
            torch.testing.assert_close(log_odds(logits)[:, k], logits[:, k] - others, rtol=1e-13, atol=1e-13)
    wild = torch.tensor([[math.inf, 0.0, 1.0], [-math.inf, 0.0, 1.0], [-math.inf, -math.inf, 1.0]], dtype=torch.float64)
    assert log_odds(wild)[0].tolist() == [math.inf, -math.inf, -math.inf]
    assert log_odds(wild)[1].tolist() == pytest.approx([-math.inf, -1.0, 1.0])
    assert log_odds(wild)[2].tolist() == [-math.inf, -math.inf, math.inf]


def test_pairs_without_rows_are_left_out_and_one_class_is_nan():
    p = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.4, 0.35, 0.25]], dtype=torch.float64)
    found = one_vs_one_auc(p, torch.tensor([0, 1, 1]), scores="probabilities")
    assert found == 1.0
    assert math.isnan(one_vs_one_auc(p, torch.tensor([1, 1, 1]), scores="probabilities"))
    assert math.isnan(metric("weighted_ovo_auc", "multiclass")(p, torch.tensor([1, 1, 1])))

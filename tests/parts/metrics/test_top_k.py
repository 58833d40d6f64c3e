import math

import pytest
import torch
from sklearn import metrics as reference

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics import metric, top_k_accuracy

G = torch.Generator().manual_seed(0)
TRUE = torch.randint(6, (200,), generator=G)
SCORES = torch.randn(200, 6, generator=G) + torch.nn.functional.one_hot(TRUE, 6)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_it_is_scikit_learns_where_scores_do_not_tie(k):
    weight = torch.rand(200, generator=G)
    expected = reference.top_k_accuracy_score(TRUE, SCORES, k=k, sample_weight=weight)
    assert top_k_accuracy(SCORES, TRUE, k=k, weight=weight) == pytest.approx(expected, abs=1e-12)
    expected = reference.top_k_accuracy_score(TRUE, SCORES, k=k)
    assert metric(f"top_{k}_accuracy", "multiclass")(SCORES, TRUE) == pytest.approx(expected, abs=1e-12)
    positions = metric(f"top_{k}_accuracy", "per_position")
    whole = SCORES.reshape(20, 10, 6), TRUE.reshape(20, 10).clone()
    assert positions(*whole) == pytest.approx(expected, abs=1e-12)
    whole[1][:5] = -100
    expected = reference.top_k_accuracy_score(TRUE[50:], SCORES[50:], k=k, labels=range(6))
    assert positions(*whole) == pytest.approx(expected, abs=1e-12)


def test_ties_are_decided_as_argmax_decides():
    tied = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.5, 0.5]])
    for true in ([0, 1, 2], [1, 0, 0], [2, 2, 1]):
        target = torch.tensor(true)
        hits = (tied.argmax(1) == target).double().mean()
        assert top_k_accuracy(tied, target, k=1) == hits
    assert top_k_accuracy(tied, torch.tensor([1, 1, 2]), k=2) == pytest.approx(2 / 3)


def test_a_k_out_of_range_is_refused():
    for k in (0, 6, 2.0):
        with pytest.raises(UsageError, match="k is a whole number from 1 to 5, below the 6 classes"):
            top_k_accuracy(SCORES, TRUE, k=k)
    with pytest.raises(DataError, match="NaN"):
        top_k_accuracy(torch.full((2, 3), math.nan), torch.tensor([0, 1]), k=1)
    assert math.isnan(top_k_accuracy(SCORES[:0], TRUE[:0], k=1))

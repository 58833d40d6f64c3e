"""The forms of outputs that one confusion matrix takes."""

import math

import pytest
import torch
from sklearn import metrics as reference

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics import Confusion, LogLoss, Multilabel

G = torch.Generator().manual_seed(0)


def test_scores_of_two_classes_in_every_form():
    logit, true = torch.randn(50, generator=G), torch.randint(2, (50,), generator=G)
    pair = torch.stack([torch.ones(50), 1 + logit], 1)
    expected = reference.confusion_matrix(true, logit > 0).tolist()
    for output in (logit, logit[:, None], pair):
        for target in (true, true.float(), true.bool(), true[:, None], true.to(torch.uint8)):
            assert Confusion(2).update(output, target).matrix().tolist() == expected
    for output in (logit.sigmoid(), pair.softmax(1)):
        assert Confusion(2, scores="probabilities").update(output, true).matrix().tolist() == expected
    assert Confusion(2, scores="classes").update((logit > 0).long(), true).matrix().tolist() == expected
    cut = reference.confusion_matrix(true, logit > 0.5).tolist()
    for output in (logit, torch.stack([torch.zeros(50), logit], 1)):
        assert Confusion(2, threshold=0.5).update(output, true).matrix().tolist() == cut


def test_positions_in_both_layouts_without_the_ignored():
    logits, true = torch.randn(3, 5, 7, 4, generator=G), torch.randint(4, (3, 5, 7), generator=G)
    true[:, 0] = 255
    kept = true != 255
    expected = reference.confusion_matrix(true[kept], logits.argmax(-1)[kept], labels=range(4)).tolist()
    for output in (logits, logits.movedim(-1, 1)):
        confusion = Confusion(4, ignore_index=255).update(output, true)
        assert confusion.matrix().tolist() == expected
    weight = torch.rand(3, generator=G, dtype=torch.float64)
    rows = weight[:, None, None].expand_as(true)[kept]
    expected = reference.confusion_matrix(true[kept], logits.argmax(-1)[kept], labels=range(4), sample_weight=rows)
    found = Confusion(4, ignore_index=255).update(logits, true, weight).matrix()
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-12, atol=1e-12)


def test_counts_stay_whole_until_weights_come():
    confusion = Confusion(3).update(torch.eye(3), torch.arange(3))
    assert confusion.matrix().dtype == torch.int64
    assert (
        confusion.update(torch.eye(3), torch.arange(3), torch.full((3,), 0.5)).matrix().diagonal().tolist() == [1.5] * 3
    )
    assert confusion.merge(Confusion(3).update(torch.eye(3), torch.arange(3))).matrix().diagonal().tolist() == [2.5] * 3


def test_the_support_says_what_a_measure_divides_by():
    found = Confusion(2).update(torch.tensor([1.0, 2.0, -1.0, -1.0, -1.0]), torch.tensor([1, 0, 0, 0, 1])).compute()
    assert {name: found[name].support for name in ("accuracy", "precision", "recall", "f1", "specificity")} == {
        "accuracy": 5,
        "precision": 2,
        "recall": 2,
        "f1": 3,
        "specificity": 3,
    }
    never = Confusion(2).update(torch.tensor([-1.0, -1.0]), torch.tensor([0, 1])).compute()["precision"]
    assert math.isnan(never.value)
    assert (never.reason, never.support) == ("this class was never predicted", 0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="num_classes is at least 2"):
        Confusion(1)
    with pytest.raises(UsageError, match="threshold belongs to scores of two classes"):
        Confusion(3, threshold=0.5)
    with pytest.raises(UsageError, match="scores is 'logits' or 'probabilities' or 'classes'"):
        Confusion(3, scores="logit")
    with pytest.raises(DataError, match=r"3 classes need outputs \[N, 3\]"):
        Confusion(3).update(torch.zeros(5, 4), torch.zeros(5))
    with pytest.raises(DataError, match="Predicted classes are integers"):
        Confusion(3, scores="classes").update(torch.zeros(5), torch.zeros(5))
    with pytest.raises(DataError, match="nothing tells which dimension"):
        Confusion(3).update(torch.zeros(5, 3, 3), torch.zeros(5, 3, dtype=torch.int64))
    with pytest.raises(DataError, match=r"Outputs are \[N, C\]"):
        LogLoss().update(torch.zeros(5, 3), torch.zeros(4))
    with pytest.raises(DataError, match=r"Outputs and targets are \[N, 3\]"):
        Multilabel(3).update(torch.zeros(5, 2), torch.zeros(5, 2))
    confusion = Confusion(2, scores="probabilities").update(torch.tensor([0.5, 1.5]), torch.tensor([0, 1]))
    with pytest.raises(DataError, match="no probability: 1,"):
        confusion.matrix()

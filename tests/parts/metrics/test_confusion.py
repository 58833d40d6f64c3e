import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from thalweg.errors import DataError
from thalweg.parts.metrics import accuracy, balanced_accuracy, confusion_matrix, f1, precision, recall
from thalweg.parts.metrics.confusion import f1s, precisions, recalls, why_undefined

pairs_of_labels = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n), st.lists(st.integers(0, 4), min_size=n, max_size=n)
    )
)


@settings(max_examples=150, deadline=None)
@given(pairs_of_labels)
def test_every_measure_agrees_with_scikit_learn_also_with_absent_classes(labels):
    predicted, true = labels
    matrix = confusion_matrix(torch.tensor(predicted), torch.tensor(true), num_classes=5)
    assert matrix.tolist() == reference.confusion_matrix(true, predicted, labels=range(5)).tolist()
    assert accuracy(matrix) == pytest.approx(reference.accuracy_score(true, predicted), abs=1e-14)
    present = sorted(set(true))
    for ours, theirs in ((precision, "precision"), (recall, "recall"), (f1, "f1")):
        score = getattr(reference, f"{theirs}_score")
        expected = score(true, predicted, labels=present, average="macro", zero_division=0)
        assert ours(matrix) == pytest.approx(expected, abs=1e-14)
        each = score(true, predicted, labels=range(5), average=None, zero_division=np.nan)
        found = {"precision": precisions, "recall": recalls, "f1": f1s}[theirs](matrix).tolist()
        for k in present:
            assert found[k] == pytest.approx(each[k], abs=1e-14, nan_ok=True)


@settings(max_examples=100, deadline=None)
@given(pairs_of_labels)
def test_balanced_accuracy_agrees_with_scikit_learn_where_two_classes_are_present(labels):
    predicted, true = labels
    matrix = confusion_matrix(torch.tensor(predicted), torch.tensor(true), num_classes=5)
    if len(set(true)) < 2:
        assert math.isnan(balanced_accuracy(matrix))
        assert why_undefined("balanced_accuracy", matrix) == "all rows are of one class"
        return
    expected = recall_of_each(true, predicted).mean()
    assert balanced_accuracy(matrix) == pytest.approx(expected, abs=1e-14)


def recall_of_each(true, predicted):
    true, predicted = np.array(true), np.array(predicted)
    return np.array([(predicted[true == k] == k).mean() for k in np.unique(true)])


def test_undefined_is_nan_with_its_reason_and_never_zero():
    matrix = torch.tensor([[3, 0, 0], [2, 0, 0], [0, 0, 0]])
    assert math.isnan(precision(matrix, positive=1))
    assert why_undefined("precision", matrix, positive=1) == "this class was never predicted"
    assert math.isnan(recall(matrix, positive=2))
    assert math.isnan(f1(matrix, positive=2))
    assert why_undefined("f1", matrix, positive=2) == "no row is of this class"
    assert recall(matrix, positive=1) == 0.0
    assert why_undefined("recall", matrix, positive=1) == ""


def test_a_class_that_is_ignored_lowers_the_mean_precision():
    ignores_class_1 = torch.tensor([[3, 0], [1, 0]])
    assert precision(ignores_class_1) == pytest.approx(0.75 / 2)


def test_no_rows_are_nan():
    empty = torch.zeros(3, 3, dtype=torch.int64)
    assert all(math.isnan(measure(empty)) for measure in (accuracy, balanced_accuracy, precision, recall, f1))
    assert why_undefined("accuracy", empty) == "there are no rows"


@pytest.mark.parametrize("target", [[0, 3], [0, -1], [0.0, 0.5], [0.0, math.nan]])
def test_a_label_out_of_range_is_named(target):
    with pytest.raises(DataError, match=r"from 0 to 2; received .* in row 1"):
        confusion_matrix(torch.tensor([0, 1]), torch.tensor(target), num_classes=3)


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match=r"shape \[2\] and the target \[3\]"):
        confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 1, 1]), num_classes=2)

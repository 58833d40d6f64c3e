import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from thalweg.errors import UsageError
from thalweg.parts.metrics import confusion_matrix, f_beta, kappa, mcc, precision, recall, specificity
from thalweg.parts.metrics.confusion import why_undefined

pairs_of_labels = st.tuples(st.integers(2, 4), st.integers(1, 60)).flatmap(
    lambda sizes: st.tuples(
        st.just(sizes[0]),
        st.lists(st.integers(0, sizes[0] - 1), min_size=sizes[1], max_size=sizes[1]),
        st.lists(st.integers(0, sizes[0] - 1), min_size=sizes[1], max_size=sizes[1]),
        st.lists(st.floats(0.01, 3), min_size=sizes[1], max_size=sizes[1]),
    )
)


@settings(max_examples=150, deadline=None)
@given(pairs_of_labels, st.booleans())
def test_agreement_is_scikit_learns_wherever_it_is_defined(rows, weighted):
    classes, predicted, true, weight = rows
    weight = weight if weighted else None
    given_weight = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    matrix = confusion_matrix(torch.tensor(predicted), torch.tensor(true), num_classes=classes, weight=given_weight)
    if len(set(true)) < 2 or len(set(predicted)) < 2:
        assert math.isnan(mcc(matrix))
        assert "one class" in why_undefined("mcc", matrix)
    else:
        expected = reference.matthews_corrcoef(true, predicted, sample_weight=weight)
        assert mcc(matrix) == pytest.approx(expected, abs=1e-12)
    if set(true) == set(predicted) and len(set(true)) == 1:
        assert math.isnan(kappa(matrix))
        assert why_undefined("kappa", matrix) == "all rows are of one class, and it was always predicted"
        return
    for distance, name in (("unweighted", None), ("linear", "linear"), ("quadratic", "quadratic")):
        expected = reference.cohen_kappa_score(
            true, predicted, labels=range(classes), weights=name, sample_weight=weight
        )
        assert kappa(matrix, distance=distance) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(pairs_of_labels, st.sampled_from([0.3, 0.5, 1.0, 2.0]), st.booleans())
def test_every_average_of_every_share_is_scikit_learns(rows, beta, weighted):
    classes, predicted, true, weight = rows
    weight = weight if weighted else None
    given_weight = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    matrix = confusion_matrix(torch.tensor(predicted), torch.tensor(true), num_classes=classes, weight=given_weight)
    present = sorted(set(true))
    for average in ("macro", "weighted", "micro"):
        held = {"labels": range(classes) if average == "micro" else present, "average": average, "zero_division": 0}
        for ours, theirs in ((precision, reference.precision_score), (recall, reference.recall_score)):
            expected = theirs(true, predicted, sample_weight=weight, **held)
            assert ours(matrix, average=average) == pytest.approx(expected, abs=1e-12)
        expected = reference.fbeta_score(true, predicted, beta=beta, sample_weight=weight, **held)
        assert f_beta(matrix, beta=beta, average=average) == pytest.approx(expected, abs=1e-12)
    for k in present:
        each = reference.fbeta_score(
            true, predicted, beta=beta, labels=[k], average="macro", zero_division=0, sample_weight=weight
        )
        assert f_beta(matrix, beta=beta, positive=k) == pytest.approx(each, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(pairs_of_labels)
def test_specificity_is_the_recall_of_the_rest(rows):
    classes, predicted, true, _ = rows
    matrix = confusion_matrix(torch.tensor(predicted), torch.tensor(true), num_classes=classes)
    each = []
    for k in range(classes):
        rest = [p != k for p, y in zip(predicted, true, strict=True) if y != k]
        found = specificity(matrix, positive=k)
        if not rest:
            assert math.isnan(found)
            assert why_undefined("specificity", matrix, positive=k) == "no row is of another class"
            continue
        assert found == pytest.approx(sum(rest) / len(rest), abs=1e-12)
        expected = reference.recall_score([y != k for y in true], [p != k for p in predicted])
        assert found == pytest.approx(expected, abs=1e-12)
        each.append((found, true.count(k)))
    several = len(set(true)) > 1
    mean = [value for value, rows_of_k in each if rows_of_k]
    assert specificity(matrix) == (
        pytest.approx(sum(mean) / len(mean)) if several else pytest.approx(math.nan, nan_ok=True)
    )
    if several:
        weighted = sum(value * n for value, n in each) / len(true)
        assert specificity(matrix, average="weighted") == pytest.approx(weighted)
        false_positive = sum(p != y for p, y in zip(predicted, true, strict=True))
        pooled = 1 - false_positive / (len(true) * (classes - 1))
        assert specificity(matrix, average="micro") == pytest.approx(pooled)


def test_words_and_betas_that_are_none_are_refused():
    matrix = torch.eye(3, dtype=torch.int64)
    with pytest.raises(UsageError, match="beta is a number above 0; received 0"):
        f_beta(matrix, beta=0)
    with pytest.raises(UsageError, match=r"average is 'macro' or .* Did you mean 'macro'"):
        recall(matrix, average="marco")
    with pytest.raises(UsageError, match="distance is 'unweighted' or"):
        kappa(matrix, distance="cubic")

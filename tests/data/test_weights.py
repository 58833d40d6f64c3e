"""Weights of rows and classes, against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from thalweg.data.prepare import prepare
from thalweg.data.task import Task
from thalweg.data.weights import class_weight_values, find_sample_weights
from thalweg.errors import DataError, UsageError

THREE = Task("multiclass", ("a", "b", "c"), 3)
LABELS = Task("multilabel", ("x", "y"), 2, "zero-one")


def values(class_weights, task=THREE, counts=(60, 30, 10), num_rows=100):
    return class_weight_values(class_weights, task, counts, num_rows).tolist()


def test_balanced_is_scikit_learns() -> None:
    y = np.repeat(["a", "b", "c"], [60, 30, 10])
    assert values("balanced") == pytest.approx(compute_class_weight("balanced", classes=np.unique(y), y=y).tolist())


def test_balanced_labels_weigh_positive_and_negative_entries_alike() -> None:
    assert values("balanced", LABELS, (20, 50)) == [4.0, 1.0]


def test_given_by_place_or_by_label() -> None:
    assert values([1, 2, 3]) == values({"c": 3, "b": 2}) == values(torch.tensor([1.0, 2.0, 3.0])) == [1, 2, 3]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("balance", UsageError, "'balanced'"),
        ([1, 2], UsageError, "one number per class, 3 in the order 'a', 'b', 'c'; received 2"),
        ({"d": 2}, UsageError, "the label 'd'"),
        ([1, -1, 1], DataError, "-1 for the label 'b'"),
        ([1, float("nan"), 1], DataError, "nan for the label 'b'"),
        ([0, 0, 0], DataError, "All class_weights are 0"),
    ],
)
def test_bad_class_weights_are_refused(given, error, message) -> None:
    with pytest.raises(error, match=message):
        values(given)


def test_a_class_without_rows_cannot_be_balanced() -> None:
    with pytest.raises(DataError, match="none of 'c'"):
        values("balanced", counts=(60, 40, 0))


@pytest.mark.parametrize("task", [Task("regression", (), 1, "number"), Task("per_position", (), 9)])
def test_a_task_without_classes_has_no_class_weights(task: Task) -> None:
    with pytest.raises(UsageError, match="class_weights are for"):
        values("balanced", task, ())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], "one weight per row, 3; received 2"),
        ([1, -2, 1], "-2 in row 1"),
        ([1, 1, float("nan")], "nan in row 2"),
        ([1, 1, float("inf")], "inf in row 2"),
        ([0, 0, 0], "All sample_weights are 0"),
        (["a", "b", "c"], "sample_weights holds text"),
    ],
)
def test_bad_sample_weights_are_refused(given, message) -> None:
    with pytest.raises(DataError, match=message):
        find_sample_weights(given, 3)


def test_rows_carry_the_product_and_test_rows_none(tmp_path) -> None:
    x, y = torch.randn(200, 2), (torch.arange(200) % 4 == 0).long()
    own = torch.arange(1, 201).float()
    data = prepare((x, y), loss_name="cross_entropy", class_weights={1: 3.0}, sample_weights=own, directory=tmp_path)
    for rows in (data.train, data.validation):
        assert torch.equal(rows.weights, own[rows.ids] * torch.where(y[rows.ids] == 1, 3.0, 1.0))
    assert data.test.open("a test").weights is None


def test_a_column_of_weights_is_no_input(tmp_path) -> None:
    frame = pd.DataFrame({"a": np.arange(100.0), "w": np.linspace(1, 2, 100), "y": np.arange(100) % 2})
    data = prepare(frame, target="y", sample_weights="w", loss_name="cross_entropy", directory=tmp_path)
    assert data.columns == ("a",)
    assert torch.allclose(data.train.weights, torch.linspace(1, 2, 100)[data.train.ids])
    assert any("'w'" in note for note in data.split["notes"])


def test_given_validation_data_bring_their_own_column_or_count_one(tmp_path) -> None:
    frame = pd.DataFrame({"a": np.arange(100.0), "w": np.full(100, 2.0), "y": np.arange(100) % 2})
    other = frame.head(20).assign(w=5.0)
    data = prepare(
        frame, validation=other, target="y", sample_weights="w", loss_name="cross_entropy", directory=tmp_path
    )
    assert torch.equal(data.validation.weights, torch.full((20,), 5.0))
    x, y = torch.randn(100, 2), torch.arange(100) % 2
    data = prepare(
        (x, y), validation=(x[:9], y[:9]), sample_weights=torch.full((100,), 2.0), loss_name="cross_entropy",
        directory=tmp_path,
    )  # fmt: skip
    assert torch.equal(data.validation.weights, torch.ones(9))

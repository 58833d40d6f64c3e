import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from thalweg.data.targets import to_target
from thalweg.data.task import Task, class_codes, class_indices, encode_target, infer_task
from thalweg.errors import DataError, UsageError

FLOAT = torch.tensor([0.5, 2.0, 1.5])


def infer(target: Any, loss_name: str | None, task: str | None = None) -> Task:
    return infer_task(to_target(target), loss_name=loss_name, task=task)


@pytest.mark.parametrize(
    ("target", "loss_name", "expected"),
    [
        ([0, 2, 1], "cross_entropy", Task("multiclass", (0, 1, 2), 3)),
        ([0, 1, 1], "cross_entropy", Task("binary", (0, 1), 2)),
        ([0, 1, 1], "nll", Task("binary", (0, 1), 2)),
        (["b", "a", "c"], "cross_entropy", Task("multiclass", ("a", "b", "c"), 3)),
        ([True, False], "cross_entropy", Task("binary", (False, True), 2)),
        ([30, 10, 20], "cross_entropy", Task("multiclass", (10, 20, 30), 3)),
        ([-1, 1], "cross_entropy", Task("binary", (-1, 1), 2)),
        ([[0], [1]], "cross_entropy", Task("binary", (0, 1), 2, column=True)),
        (torch.ones(3, 1) * FLOAT[:1], "mse", Task("regression", (), 1, "number", column=True)),
        (["no", "yes"], "binary_cross_entropy", Task("binary", ("no", "yes"), 1, "zero-one")),
        ([3, 7], "binary_cross_entropy", Task("binary", (3, 7), 1, "zero-one")),
        ([0.0, 1.0], "binary_cross_entropy", Task("binary", (0.0, 1.0), 1, "zero-one")),
        (FLOAT, "mse", Task("regression", (), 1, "number")),
        ([1, 2], "mae", Task("regression", (), 1, "number")),
        (torch.ones(3, 4), "huber", Task("regression", (), 4, "number")),
        ([0, 1, 2], None, Task("multiclass", (0, 1, 2), 3, "as given")),
        ([0, 1, 3, 3], None, Task("multiclass", (0, 1, 2, 3), 4, "as given")),
        ([-1, 1], None, Task("binary", (-1, 1), 2, "as given")),
        (torch.tensor([[0, 2], [1, 2]]), None, Task("per_position", (), 3, "as given")),
        ([True, False], None, Task("binary", (False, True), 2, "as given")),
        (["a", "b"], None, Task("binary", ("a", "b"), 2, "index")),
        ([0.0, 1.0], None, Task("binary", (0.0, 1.0), 1, "as given")),
        ([0.0, 2.0], None, Task("regression", (), 1, "as given")),
        ([0, 0, 0], None, Task("regression", (), 1, "as given")),  # a target that the loss ignores
        (torch.zeros(3, 5), None, Task("regression", (), 5, "as given")),
    ],
)
def test_task_is_inferred(target: Any, loss_name: str | None, expected: Task) -> None:
    assert infer(target, loss_name) == expected


@pytest.mark.parametrize(
    ("target", "loss_name", "task", "expected"),
    [
        ([0.0, 2.0, 1.0], "cross_entropy", "multiclass", Task("multiclass", (0.0, 1.0, 2.0), 3)),
        ([0, 1], "cross_entropy", "multiclass", Task("multiclass", (0, 1), 2)),
        ([0, 1, 2], None, "regression", Task("regression", (), 1, "as given")),
        ([0.0, 3.0, 5.0], None, "multiclass", Task("multiclass", (0.0, 3.0, 5.0), 3, "as given")),
    ],
)
def test_the_users_word_is_heard(target: Any, loss_name: str | None, task: str, expected: Task) -> None:
    assert infer(target, loss_name, task) == expected


@pytest.mark.parametrize(
    ("target", "loss_name", "message"),
    [
        (FLOAT, "cross_entropy", "floats such as 0.5, .* To predict a number take loss='mse'"),
        ([0.0, 1.0, 2.0], "cross_entropy", r"whole numbers: if they are classes, pass y\.long\(\), or task='multicl"),
        ([0.0, 0.5], "binary_cross_entropy", "floats such as 0"),
        ([0.0, 2.0], "binary_cross_entropy", "whole numbers"),
        ([0, 1, 2], "binary_cross_entropy", "needs two classes; the target has 3: 0, 1, 2. Take loss='cross_entropy'"),
        ([1, 1], "cross_entropy", "one class only, 1 in all 2 rows"),
        ([1, 1], "binary_cross_entropy", "one class only"),
        ([0, 1, -100, 2, -100], "cross_entropy", r"negative labels \(-100\) in rows 2, 4 .* leave these rows out"),
        ([-1, 0, 1], "nll", r"negative labels \(-1\) in row 0"),
        (torch.eye(3), "cross_entropy", r"received \[3, 3\]. One-hot rows become labels by y\.argmax\(1\)"),
        (torch.zeros(3, 4), "binary_cross_entropy", "All labels of all 3 rows are 0"),
        (["a", "b"], "mse", "labels such as 'a', and the loss 'mse' needs numbers"),
        (torch.zeros(3, 4, 4), "mse", r"of shape \[N\] or \[N, T\]; received \[3, 4, 4\]"),
        ([0.5, float("nan"), float("inf")], "mse", r"NaN or infinite in rows 1, 2 \(counted from 0; 2 of 3\)"),
        ([0.5, float("nan")], None, "NaN or infinite in row 1"),
    ],
)
def test_contradictions(target: Any, loss_name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        infer(target, loss_name)


def test_three_classes_are_no_binary_task() -> None:
    with pytest.raises(DataError, match="task='binary' needs two classes"):
        infer([0, 1, 2], "cross_entropy", "binary")


@pytest.mark.parametrize(
    ("loss_name", "task", "message"),
    [
        ("crossentropy", None, r"no loss 'crossentropy'. Did you mean 'cross_entropy'\?"),
        ("mse", "regresion", r"no task 'regresion'. Did you mean 'regression'\?"),
        ("mse", "binary", "'mse' does not serve task='binary'. Take one of cross_entropy, nll, binary_cross_entropy"),
        ("cross_entropy", "regression", "Take one of mse, mae, huber"),
    ],
)
def test_words(loss_name: str, task: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        infer([0, 1], loss_name, task)


@pytest.mark.parametrize("labels", [[5, 9, 5, 2], ["b", "c", "b", "a"], [2.0, 9.0, 2.0, 1.0]])
def test_labels_are_numbered_in_their_order(labels: list[Any]) -> None:
    task = infer(labels, "cross_entropy", "multiclass")
    encoded = encode_target(to_target(labels), task)
    assert encoded.dtype == torch.int64
    assert encoded.tolist() == np.unique(labels, return_inverse=True)[1].tolist()
    assert [task.classes[i] for i in encoded] == labels


def test_labels_that_are_numbered_stay() -> None:
    target = torch.tensor([2, 0, 1, 2], dtype=torch.uint8)
    encoded = encode_target(target, infer(target, "cross_entropy"))
    assert encoded.tolist() == [2, 0, 1, 2]
    assert encoded.dtype == torch.int64


def test_encoded_targets_are_what_the_losses_take() -> None:
    logits = torch.randn(4, 2)
    index = encode_target(to_target(["n", "y", "y", "n"]), infer(["n", "y"], "cross_entropy"))
    zero_one = encode_target(to_target(["n", "y", "y", "n"]), infer(["n", "y"], "binary_cross_entropy"))
    assert zero_one.tolist() == [0.0, 1.0, 1.0, 0.0]
    # two-class cross-entropy is the binary one on the difference of the logits
    expected = F.cross_entropy(logits, index)
    received = F.binary_cross_entropy_with_logits(logits[:, 1] - logits[:, 0], zero_one)
    torch.testing.assert_close(received, expected)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (torch.tensor([1, 2]), torch.tensor([1.0, 2.0])),
        (torch.tensor([True, False]), torch.tensor([1.0, 0.0])),
        (torch.tensor([[1.5], [2.0]]), torch.tensor([1.5, 2.0])),
        (torch.tensor([1.5, 2.0], dtype=torch.float16), torch.tensor([1.5, 2.0])),
        (torch.tensor([0.1], dtype=torch.float64), torch.tensor([0.1], dtype=torch.float64)),
        (torch.ones(2, 3), torch.ones(2, 3)),
    ],
)
def test_numbers(target: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(encode_target(target, infer(target, "mse")), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "target", [torch.tensor([[0], [1]], dtype=torch.int16), torch.tensor([0.0, 1.0]).double(), torch.rand(3, 2, 2)]
)
def test_a_loss_of_ones_own_gets_its_target_unchanged(target: torch.Tensor) -> None:
    assert encode_target(target, infer(target, None)) is target


def test_unknown_labels_are_named_by_row() -> None:
    task = infer(["a", "b", "c"], "cross_entropy")
    with pytest.raises(DataError, match=r"label 'd' in rows 1, 3 .* none of the training data's classes \('a', 'b', "):
        encode_target(to_target(["a", "d", "b", "d"]), task)
    with pytest.raises(DataError, match=r"label 3 in row 0 .* classes \(0, 1, 2\)"):
        encode_target(torch.tensor([3, 0]), infer([0, 1, 2], "cross_entropy"))
    with pytest.raises(DataError, match=r"label 1 in rows 0, 1"):
        encode_target(torch.tensor([1, 1]), task)
    with pytest.raises(DataError, match="label 'a' in row 0"):
        encode_target(to_target(["a"]), infer([0, 1], "cross_entropy"))
    with pytest.raises(DataError, match="numbers are needed"):
        encode_target(to_target(["a"]), infer(FLOAT, "mse"))


def test_large_labels_are_told_apart() -> None:
    big = 2**60
    target = torch.tensor([big, big + 1, big])
    assert class_indices(target, infer(target, "cross_entropy")).tolist() == [0, 1, 0]


def test_class_codes_for_stratification() -> None:
    for labels in ([[4], [2]], [4, 2]):
        codes = class_codes(to_target(labels), infer(labels, "cross_entropy"))
        assert codes is not None
        assert codes.tolist() == [1, 0]
    assert class_codes(FLOAT, infer(FLOAT, "mse")) is None
    tokens = torch.tensor([[0, 2], [1, 2]])
    assert class_codes(tokens, infer(tokens, None)) is None


@pytest.mark.parametrize("target", [["no", "yes"], [0, 1, 2], [True, False], [0.5, 1.5]])
def test_json_round_trip(target: Any) -> None:
    task = infer(target, None)
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


def test_task_is_plain_data_without_torch() -> None:
    code = "import sys, thalweg.data.task as t; t.Task('binary', (0, 1), 2); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

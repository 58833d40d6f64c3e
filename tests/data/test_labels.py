"""Targets of several values per row: label sets, and classes of positions."""

import numpy as np
import pandas as pd
import pytest
import torch

from thalweg.data.labels import label_notes, strata
from thalweg.data.prepare import prepare
from thalweg.data.targets import to_target
from thalweg.data.task import Task, encode_target, infer_task
from thalweg.errors import DataError

FLAGS = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
SETS = [["red", "blue"], [], ["green"], ["blue"]]
TOKENS = torch.tensor([[3, 1, 2], [0, 5, -100]])


def test_flags_under_binary_cross_entropy() -> None:
    task = infer_task(FLAGS, loss_name="binary_cross_entropy")
    assert task == Task("multilabel", (0, 1, 2), 3, "zero-one")
    assert torch.equal(encode_target(FLAGS, task), FLAGS.float())


@pytest.mark.parametrize("loss_name", ["binary_cross_entropy", None])
def test_label_sets_become_sorted_columns(loss_name) -> None:
    target = to_target(SETS)
    task = infer_task(target, loss_name=loss_name)
    assert (task.kind, task.classes) == ("multilabel", ("blue", "green", "red"))
    assert encode_target(target, task).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0]]
    same = pd.Series([set(labels) for labels in SETS])
    assert torch.equal(encode_target(to_target(same), task), encode_target(target, task))


def test_label_sets_are_no_classes() -> None:
    with pytest.raises(DataError, match="Take loss='binary_cross_entropy'"):
        infer_task(to_target(SETS), loss_name="cross_entropy")


def test_a_label_that_training_lacks_is_named() -> None:
    task = infer_task(to_target(SETS), loss_name="binary_cross_entropy")
    with pytest.raises(DataError, match="'gold' in row 1"):
        encode_target(to_target([["red"], ["gold"]]), task)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (FLAGS.float(), "multilabel"),
        (FLAGS.bool(), "multilabel"),
        (TOKENS, "per_position"),
        (torch.rand(4, 3), "regression"),
        (torch.randint(0, 3, (4, 5, 5)), "per_position"),
    ],
)
def test_under_a_loss_of_the_users_own_the_values_tell(target, kind) -> None:
    task = infer_task(target, loss_name=None)
    assert (task.kind, task.encoding) == (kind, "as given")
    assert encode_target(target, task) is target


def test_the_users_word_settles_it() -> None:
    assert infer_task(FLAGS, loss_name=None, task="per_position").kind == "per_position"
    assert infer_task(FLAGS, loss_name="cross_entropy", task="per_position").num_outputs == 2


def test_tokens_under_cross_entropy() -> None:
    task = infer_task(TOKENS, loss_name="cross_entropy")
    assert task == Task("per_position", (), 6)
    assert torch.equal(encode_target(TOKENS.int(), task), TOKENS)
    assert Task.from_json(task.to_json()) == task


@pytest.mark.parametrize(
    ("target", "loss_name", "message"),
    [
        (torch.tensor([[0.0, 0.5], [1.0, 0.0]]), "binary_cross_entropy", "0.5 in row 0"),
        (torch.tensor([[0, 2], [1, 0]]), "binary_cross_entropy", "2 in row 0"),
        (torch.zeros(2, 3, 3), "binary_cross_entropy", r"\[N, labels\]; received \[2, 3, 3\]"),
        (torch.eye(3, dtype=torch.long), "cross_entropy", "argmax"),
        (torch.tensor([[0, 1], [-1, 2]]), "cross_entropy", "-1 in row 1"),
        (torch.full((3, 4), -100), "cross_entropy", "no position but ignored"),
        (torch.ones(3, 4, dtype=torch.long), "cross_entropy", "one class only"),
        (torch.rand(3, 4), "cross_entropy", "one label per row"),
    ],
)
def test_what_does_not_fit_is_refused(target, loss_name, message) -> None:
    with pytest.raises(DataError, match=message):
        infer_task(target, loss_name=loss_name)


def test_columns_of_a_table_name_labels_and_targets(tmp_path) -> None:
    frame = pd.DataFrame({"a": np.arange(60.0), "rain": np.arange(60) % 2, "snow": np.arange(60) % 3 == 0})
    data = prepare(frame, target=["rain", "snow"], loss_name="binary_cross_entropy", directory=tmp_path)
    assert (data.task.kind, data.task.classes, data.columns) == ("multilabel", ("rain", "snow"), ("a",))
    assert set(data.split["classes"]) == {"rain", "snow"}
    data = prepare(frame, target=["rain", "a"], loss_name="mse", directory=tmp_path)
    assert (data.task.kind, data.task.targets, data.task.num_outputs) == ("regression", ("rain", "a"), 2)
    with pytest.raises(DataError, match="same columns in the same order"):
        prepare(
            (frame[["a"]], frame[["rain", "snow"]]), validation=(frame[["a"]], frame[["snow", "rain"]]),
            loss_name="binary_cross_entropy", directory=tmp_path,
        )  # fmt: skip


def test_label_sets_are_spread_over_the_parts(tmp_path) -> None:
    generator = torch.Generator().manual_seed(0)
    y = (torch.rand(1000, 4, generator=generator) < torch.tensor([0.5, 0.3, 0.1, 0.03])).long()
    data = prepare((torch.randn(1000, 2), y), loss_name="binary_cross_entropy", directory=tmp_path)
    for label in range(4):
        shares = [(rows.target[:, label] != 0).double().mean() for rows in (data.train, data.validation)]
        assert abs(shares[0] - shares[1]) < 0.02


def test_rare_label_sets_are_one_stratum_and_not_kept_in_training() -> None:
    target = torch.cat([torch.zeros(50, 6), torch.eye(6), torch.ones(1, 6)])
    found = strata(target, None, Task("multilabel", tuple(range(6)), 6, "zero-one"))
    assert len(torch.unique(found)) == 2


def test_labels_that_nobody_has_are_told(tmp_path) -> None:
    y = torch.stack([torch.arange(100) % 2, torch.zeros(100), torch.ones(100)], 1)
    data = prepare((torch.randn(100, 2), y), loss_name="binary_cross_entropy", directory=tmp_path)
    assert "no training row has label '1', which cannot be learned" in data.split["notes"]
    assert "all training rows have label '2'" in data.split["notes"]
    assert label_notes({"a": {"train": 3, "test": 0}}, {"train": 5, "test": 2}) == [
        "no test row has label 'a', which cannot be found there"
    ]

"""Classes that the training rows lack, where a class is the number of an output."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from thalweg.data.prepare import prepare
from thalweg.data.task import Task
from thalweg.data.unseen import widened
from thalweg.errors import DataError

X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("task", "target"),
    [
        (Task("binary", ("no", "yes"), 2), torch.tensor([2])),  # text has no number
        (Task("multiclass", (0, 2, 5), 3), torch.tensor([7])),  # numbered in their order: 7 could be any
        (Task("binary", (0, 1), 1, "zero-one"), torch.tensor([2])),  # one output
        (Task("binary", (0, 1), 2), torch.tensor([2])),  # a loss that has an output per class of the training rows
        (Task("binary", (0, 1), 2, "as given"), torch.tensor([-1])),
        (Task("binary", (0, 1), 2, "as given"), torch.tensor([2.0])),
        (Task("regression", (), 1, "number"), torch.tensor([2])),
    ],
)
def test_other_labels_stay_refused(task: Task, target: torch.Tensor) -> None:
    assert widened(task, target) == task


def test_labels_keep_their_numbers(tmp_path: Path) -> None:
    held = (X[:10], torch.arange(10) % 5)
    data = prepare((X, torch.arange(60) % 3), validation=held, test=False, loss_name=None, directory=tmp_path)
    assert (data.task.kind, data.task.classes, data.task.num_outputs) == ("multiclass", (0, 1, 2, 3, 4), 5)
    assert data.validation.target.tolist() == held[1].tolist()
    assert data.train.target.tolist() == (torch.arange(60) % 3).tolist()
    assert "the validation rows have classes 3, 4, of which the training rows have none" in data.split["notes"]
    unseen = {r.place: r.value for r in data.readings if r.name == "labels.unseen"}
    assert unseen == {"validation": 0.4}


def test_of_loaders(tmp_path: Path) -> None:
    train = DataLoader(TensorDataset(X, torch.arange(60) % 3), batch_size=8)
    held = DataLoader(TensorDataset(X[:10], torch.arange(10) % 5), batch_size=4)
    data = prepare(train, validation=held, test=False, loss_name=None, directory=tmp_path)
    assert data.task.classes == (0, 1, 2, 3, 4)
    assert {r.place: r.value for r in data.readings if r.name == "labels.unseen"} == {"validation": 0.4}


def test_labels_of_text_are_refused(tmp_path: Path) -> None:
    held = (X[:10], ["a"] * 5 + ["c"] * 5)
    with pytest.raises(DataError, match="The label 'c' in rows 5"):
        prepare((X, ["a", "b"] * 30), validation=held, test=False, loss_name="cross_entropy", directory=tmp_path)


def test_one_class_is_refused_for_a_loss_that_is_known(tmp_path: Path) -> None:
    held = (X[:10], torch.arange(10) % 5)
    with pytest.raises(DataError, match="one class only"):
        prepare((X, torch.zeros(60).long()), validation=held, loss_name="cross_entropy", directory=tmp_path)

"""Columns of a table: beside scikit-learn and NumPy."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import Tensor

from thalweg.measure.data_columns import describe_columns, telling_column
from thalweg.readings import Readings


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_condition_is_that_of_numpy() -> None:
    x = random(300, 5) @ random(5, 5, seed=1)
    found = Readings(describe_columns(x))
    expected = np.linalg.cond(np.corrcoef(x.double().numpy().T))
    assert found.value("columns.condition") == pytest.approx(expected, rel=1e-4)


def test_constant_and_equal_columns_are_counted_by_name() -> None:
    x = random(300, 3)
    x = torch.cat([x, torch.full((300, 1), 7.0), 3 - 2 * x[:, 1:2]], dim=1)
    found = Readings(describe_columns(x, names=("a", "b", "c", "d", "e")))
    assert (found.value("columns.constant"), found.last("columns.constant").note) == (1, "d")  # type: ignore[union-attr]
    assert (found.value("columns.equal"), found.last("columns.equal").note) == (1, "e = b")  # type: ignore[union-attr]
    assert found.value("columns.condition") < 3  # type: ignore[operator]  # the others only


def test_close_columns_are_not_equal() -> None:
    x = random(300, 3)
    found = Readings(describe_columns(torch.cat([x, x[:, :1] + 0.01 * random(300, 1, seed=1)], dim=1)))
    assert found.value("columns.equal") == 0
    assert found.value("columns.condition") > 1e4  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["classes", "numbers", "category"])
def test_a_leak_is_found_by_name(kind: str) -> None:
    x, names = random(800, 6), tuple("abcdef")
    y = (random(800, seed=1) > 0).long() if kind != "numbers" else random(800, seed=1)
    x[:, 4] = {
        "classes": lambda: y + 0.1 * random(800, seed=2),
        "numbers": lambda: 3 * y + 0.1 * random(800, seed=2),
        "category": lambda: 2.0 * y + torch.randint(0, 2, (800,)),  # codes 0, 1 are one class, 2, 3 the other
    }[kind]()
    alone, others = telling_column(x, y, classes=kind != "numbers", names=names)
    assert alone.place == "e"
    assert alone.value > 0.9
    assert others.value < 0.05


def test_nothing_is_found_in_noise_and_the_interval_holds_the_true_share() -> None:
    alone, _ = telling_column(random(1000, 20), (random(1000, seed=1) > 0).long(), classes=True)
    assert alone.value < 0.05
    x = random(2000, 4)
    y = x[:, 0] + random(2000, seed=1)  # half of the variance
    alone, _ = telling_column(x, y, classes=False)
    assert alone.low is not None
    assert alone.high is not None
    assert alone.low < 0.5 < alone.high + 0.03  # sixteen bins lose a little


def test_all_columns_of_iris_tell_the_flower() -> None:
    bunch = load_iris()
    alone, others = telling_column(torch.tensor(bunch.data), torch.tensor(bunch.target), classes=True)
    assert alone.value - others.value < 0.3


def test_pictures_and_few_rows_are_left_out() -> None:
    assert describe_columns(random(300, 784)) == []
    assert describe_columns(random(50, 5)) == []
    assert telling_column(random(300, 5), torch.zeros(300).long(), classes=True) == []
    assert telling_column(random(300, 2), torch.arange(300) % 2, classes=True) == []

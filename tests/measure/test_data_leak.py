"""What copies add to a score: beside plain means, and over many draws."""

from math import sqrt

import pytest
import torch

from thalweg.measure.data_leak import inflation
from thalweg.measure.score import Score


def draw(
    seed: int, *, honest: float, copied: float, share: float = 0.4, count: int = 400
) -> tuple[Score, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    copies = torch.rand(count, generator=generator) < share
    right = torch.rand(count, generator=generator) < torch.where(copies, copied, honest)
    return Score("accuracy", right.double(), 0.5, torch.randint(0, 3, (count,), generator=generator)), copies


def test_of_one_class_it_is_the_difference_of_plain_means() -> None:
    found, copies = draw(0, honest=0.6, copied=0.9)
    made = inflation(Score("r2", found.each, 0.0), copies)
    assert made is not None
    assert made.whole == pytest.approx(float(found.each.mean()))
    assert made.clean == pytest.approx(float(found.each[~copies].mean()))
    a, b = found.each[copies], found.each[~copies]
    expected = float(copies.double().mean()) * sqrt(float(a.var()) / len(a) + float(b.var()) / len(b))
    assert 1.0 <= made.error / expected < 1.2


def test_the_error_is_that_of_many_draws() -> None:
    made = [inflation(*draw(seed, honest=0.6, copied=0.9)) for seed in range(300)]
    values = torch.tensor([m.difference for m in made if m is not None], dtype=torch.float64)
    errors = torch.tensor([m.error for m in made if m is not None], dtype=torch.float64)
    assert float(values.mean()) == pytest.approx(0.4 * 0.3, abs=0.01)
    assert 0.9 < float(errors.mean() / values.std()) < 1.3


def test_copies_of_an_easy_class_add_nothing() -> None:
    """All copies are of class 0, which is always answered, whether copied or not."""
    labels = torch.arange(400) % 2
    copies = (labels == 0) & (torch.arange(400) < 200)
    each = torch.where(labels == 0, 1.0, 0.5).double()
    made = inflation(Score("accuracy", each, 0.5, labels), copies)
    assert made is not None
    assert made.difference == pytest.approx(0.0)


def test_of_a_rare_class_the_balanced_score_tells() -> None:
    """19 of 20 rows are of class 0; copies of class 1 are remembered, others never found."""
    labels = (torch.arange(1000) % 20 == 0).long()
    copies = torch.arange(1000) < 500
    each = torch.where((labels == 0) | copies, 1.0, 0.0).double()
    made = inflation(Score("accuracy", each, 0.95, labels), copies)
    assert made is not None
    assert made.name == "balanced accuracy"
    assert (made.whole, made.clean) == (pytest.approx(0.75), pytest.approx(0.5))


def test_a_few_rows_without_a_copy_say_nothing() -> None:
    found, _ = draw(0, honest=0.6, copied=0.9)
    assert inflation(found, torch.arange(400) >= 20) is None

"""Rows that are nearly equal, planted among rows that are not."""

import torch
from torch import Tensor

from thalweg.measure.data_near import near_duplicates
from thalweg.readings import Reading


def rows(count: int, seed: int, columns: int = 100) -> Tensor:
    """Rows of ten hidden directions and a little noise: as pictures, they are close to one another."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(10, columns, generator=generator)
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randn(count, 10, generator=generator) @ basis + 0.1 * torch.randn(count, columns, generator=generator)


def near(train: Tensor, held: Tensor, of: int | None = None) -> Reading:
    ids, held_ids = torch.arange(len(train)) + 1000, torch.arange(len(held))
    found, number = near_duplicates(train, held, ids, held_ids, of=len(train) if of is None else of)
    assert number.value <= 300
    return found


def test_rows_of_one_kind_are_not_near() -> None:
    for seed in range(5):
        assert near(rows(500, seed), rows(300, seed + 50)).value == 0


def test_planted_pairs_are_counted_and_named() -> None:
    train, held = rows(500, 0), rows(300, 1)
    held[:30] = 1.001 * train[100:130] + 0.001 * torch.randn(30, 100)
    found = near(train, held)
    assert found.value == 0.1
    assert found.note.startswith("validation row 0 ≈ training row 1,100")
    assert near(train, held, of=1000).value == 0.2  # half of the training rows were looked at


def test_exact_copies_are_another_rules() -> None:
    train, held = rows(500, 0), rows(300, 1)
    held[:30] = train[:30]
    assert near(train, held).value == 0


def test_few_columns_are_left_out() -> None:
    assert near_duplicates(rows(200, 0, 5), rows(200, 1, 5), torch.arange(200), torch.arange(200), of=200) == []

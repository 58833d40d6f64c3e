import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.data import hashes
from thalweg.data.hashes import hash_rows


@given(
    shape=st.lists(st.integers(1, 7), max_size=3),
    dtype=st.sampled_from([torch.uint8, torch.int16, torch.float16, torch.float32, torch.float64, torch.bool]),
    levels=st.sampled_from([2, 100]),
)
@settings(max_examples=80, deadline=None)
def test_equal_hashes_are_equal_rows(shape: list[int], dtype: torch.dtype, levels: int) -> None:
    values = torch.randint(0, levels, (200, *shape), generator=torch.Generator().manual_seed(0)).to(dtype)
    other = torch.randint(0, 3, (200,), generator=torch.Generator().manual_seed(1))
    rows = [(row.tolist(), int(label)) for row, label in zip(values, other, strict=True)]
    found = hash_rows((values, other))
    texts = np.array([repr(row) for row in rows])
    assert np.array_equal(texts[:, None] == texts, found[:, None] == found)


def test_values_that_differ_in_few_bits_do_not_collide() -> None:
    """Small whole numbers in float64 have 48 bits of zeros each: all 262,144 rows of 6 columns are told apart."""
    grid = torch.cartesian_prod(*[torch.arange(8.0, dtype=torch.float64)] * 6)
    assert len(np.unique(hash_rows((grid,)))) == 8**6
    assert len(np.unique(hash_rows((grid.to(torch.uint8),)))) == 8**6
    assert len(np.unique(hash_rows(tuple(grid.float().T)))) == 8**6


def test_bits_are_fair() -> None:
    """Each bit of the hashes of consecutive numbers is set half of the time, to within five deviations."""
    found = hash_rows((torch.arange(20_000),))
    bits = np.unpackbits(found.view(np.uint8).reshape(-1, 8), axis=1)
    assert abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / 20_000**0.5


def test_zeros_missing_values_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.tensor([[0.0, torch.nan], [-0.0, torch.nan], [1.0, torch.nan]], dtype=torch.float64)
    first, second, third = hash_rows((rows,))
    assert first == second != third
    values = torch.rand(1000, 9, generator=torch.Generator().manual_seed(0))
    whole = hash_rows((values,))
    monkeypatch.setattr(hashes, "BLOCK_BYTES", 100)
    assert np.array_equal(hash_rows((values,)), whole)
    assert np.array_equal(hash_rows((values.t().contiguous().t(),)), whole)  # any layout in memory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.parts.preprocessing.moments import BLOCK, Moments


def assert_moments(state: Moments, values: np.ndarray, tolerance: float = 1e-12) -> None:
    """Against numpy in float64 over the columns of `[N, C]`."""
    exact = values.astype(np.float64)
    assert state.count == len(exact)
    np.testing.assert_allclose(state.mean.numpy(), exact.mean(0), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(state.variance.numpy(), exact.var(0), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(state.std.numpy(), exact.std(0), rtol=tolerance, atol=tolerance)


def random(seed: int, rows: int, columns: int = 4) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(rows, columns)) * [1.0, 10.0, 0.1, 3.0] + [0.0, 5.0, -2.0, 100.0]


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int16]
)
def test_columns_agree_with_numpy(dtype: torch.dtype) -> None:
    values = torch.as_tensor(random(0, 3000)).clamp(min=0).to(dtype)
    assert_moments(Moments.of(values), values.double().numpy())


def test_many_blocks_agree_with_numpy() -> None:
    values = random(1, BLOCK)  # four blocks
    assert_moments(Moments.of(torch.as_tensor(values)), values)


@pytest.mark.parametrize("shape", [(50, 4, 7), (50, 4, 5, 6), (5, 4, 3, 2, 6), (2, 4, 400, 300)])
def test_channels_agree_with_numpy(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(2).normal(3, 2, size=shape)
    state = Moments.of(torch.as_tensor(values))
    assert_moments(state, np.moveaxis(values, 1, -1).reshape(-1, 4))


@given(cuts=st.lists(st.integers(0, 100), max_size=6), seed=st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_batches_of_any_size_merge_to_the_whole(cuts: list[int], seed: int) -> None:
    values = torch.as_tensor(random(seed, 100))
    state = Moments.empty(4)
    for batch in torch.tensor_split(values, sorted(cuts)):
        state = state.update(batch)
    assert_moments(state, values.numpy())


def test_merging_is_associative_and_commutative() -> None:
    a, b, c = (Moments.of(torch.as_tensor(random(seed, 10 * seed + 1))) for seed in range(3))
    left, right = a.merge(b).merge(c), c.merge(b.merge(a))
    torch.testing.assert_close(left.mean, right.mean, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(left.m2, right.m2, rtol=1e-13, atol=1e-13)


def test_folds_are_taken_out_of_one_pass() -> None:
    values = torch.as_tensor(random(3, 500))
    folds = torch.tensor_split(values, 5)
    whole = Moments.of(values)
    for left_out in range(5):
        rest = torch.cat([fold for i, fold in enumerate(folds) if i != left_out])
        assert_moments(whole.subtract(Moments.of(folds[left_out])), rest.numpy(), tolerance=1e-11)
    nothing = whole.subtract(whole)
    assert nothing.count == 0
    assert nothing.std.tolist() == [0, 0, 0, 0]


def test_a_large_offset_loses_nothing() -> None:
    # E[x²] − E[x]² in float32 would give noise: 1e12 has a spacing of 65,536.
    values = (torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0)) + 1e6).float()
    assert_moments(Moments.of(values), values.double().numpy(), tolerance=1e-9)
    offset = values.double() + 1e9
    assert_moments(Moments.of(offset), offset.numpy(), tolerance=1e-7)


def test_pooling_equals_one_column_of_all_values() -> None:
    values = random(4, 200)
    assert_moments(Moments.of(torch.as_tensor(values)).pooled(), values.reshape(-1, 1))


def test_an_empty_state_is_neutral() -> None:
    state = Moments.of(torch.as_tensor(random(5, 7)))
    for same in (Moments.empty(4).merge(state), state.merge(Moments.empty(4)), state.update(torch.empty(0, 4))):
        assert same.count == 7
        assert torch.equal(same.mean, state.mean)
        assert torch.equal(same.m2, state.m2)

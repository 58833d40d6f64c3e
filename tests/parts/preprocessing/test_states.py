"""The mergeable states beside float64 references, in any order of merging."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.parts.preprocessing.columns import as_rows
from thalweg.parts.preprocessing.covariance import Covariance
from thalweg.parts.preprocessing.extremes import Extremes
from thalweg.parts.preprocessing.moments import Moments
from thalweg.parts.preprocessing.quantiles import Quantiles
from thalweg.parts.preprocessing.skewness import Skewness

EMPTY: dict[str, Callable[[int], Any]] = {
    "moments": Moments.empty,
    "covariance": Covariance.empty,
    "skewness": Skewness.empty,
    "extremes": Extremes.empty,
    "quantiles": Quantiles.empty,
}
SUMS = ("moments", "covariance", "skewness")


def numbers(state: Any) -> Tensor:
    """All that a state says, as one tensor."""
    if isinstance(state, Quantiles):
        return state.at([0.0, 0.1, 0.5, 1.0]).flatten()
    if isinstance(state, Extremes):
        return torch.cat([state.low, state.high])
    values = [state.mean, state.m2.flatten()]
    return torch.cat([*values, *([state.m3] if isinstance(state, Skewness) else [])])


def values_of(seed: int, rows: int = 60) -> Tensor:
    generator = np.random.default_rng(seed)
    values = generator.lognormal(0, 1, (rows, 3)) * [1.0, 10.0, 0.1] + [0.0, -50.0, 1e4]
    return torch.as_tensor(values)


@pytest.mark.parametrize("name", EMPTY)
@given(cuts=st.lists(st.integers(0, 60), max_size=5), order=st.randoms(), seed=st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_batches_merge_in_any_order_and_grouping(name: str, cuts: list[int], order: Any, seed: int) -> None:
    values = values_of(seed)
    states = [EMPTY[name](3).update(batch) for batch in torch.tensor_split(values, sorted(cuts))]
    while len(states) > 1:
        order.shuffle(states)
        states = [states[0].merge(states[1]), *states[2:]]
    whole = EMPTY[name](3).update(values)
    assert states[0].count == 60
    torch.testing.assert_close(numbers(states[0]), numbers(whole), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SUMS)
@given(cut=st.integers(1, 59), seed=st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_what_was_merged_can_be_taken_out(name: str, cut: int, seed: int) -> None:
    values = values_of(seed)
    whole = EMPTY[name](3).update(values)
    rest = whole.subtract(EMPTY[name](3).update(values[:cut]))
    assert rest.count == 60 - cut
    torch.testing.assert_close(numbers(rest), numbers(EMPTY[name](3).update(values[cut:])), rtol=1e-6, atol=1e-5)
    assert whole.subtract(whole).count == 0


@pytest.mark.parametrize("name", ["extremes", "quantiles"])
def test_what_cannot_be_taken_out_says_so(name: str) -> None:
    state = EMPTY[name](3).update(values_of(0))
    with pytest.raises(UsageError, match="For k folds measure each fold and merge"):
        state.subtract(state)


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_batch_and_an_empty_state_change_nothing(name: str) -> None:
    state = EMPTY[name](3).update(values_of(0))
    for same in (state.update(torch.empty(0, 3)), EMPTY[name](3).merge(state), state.merge(EMPTY[name](3))):
        assert torch.equal(numbers(same), numbers(state))


@pytest.mark.parametrize("name", [n for n in EMPTY if n != "covariance"])
def test_channels_and_pooling(name: str) -> None:
    images = values_of(1, 3 * 20).reshape(20, 3, 3).unsqueeze(-1).expand(20, 3, 3, 2) * torch.rand(20, 3, 3, 2)
    flat = as_rows(images)
    state = EMPTY[name](3).update(images)
    torch.testing.assert_close(numbers(state), numbers(EMPTY[name](3).update(flat)), rtol=1e-9, atol=1e-9)
    one = EMPTY[name](1).update(flat.reshape(-1, 1))
    torch.testing.assert_close(numbers(state.pooled()), numbers(one), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", EMPTY)
def test_a_value_that_is_not_finite_is_noticed(name: str, bad: float) -> None:
    values = values_of(0)
    assert EMPTY[name](3).update(values).is_finite
    values[7, 2] = bad
    assert not EMPTY[name](3).update(values).merge(EMPTY[name](3).update(values_of(1))).is_finite


def test_covariance_agrees_with_numpy() -> None:
    x = np.random.default_rng(0).normal(size=(70_000, 20)) @ np.random.default_rng(1).normal(size=(20, 20))
    for offset in (0.0, 1e6):
        state = Covariance.of(torch.as_tensor(x + offset))  # two blocks
        np.testing.assert_allclose(state.matrix, np.cov((x + offset).T, bias=True), rtol=1e-9, atol=1e-9)
    single = Covariance.of(torch.as_tensor(x[:5000]).float() + 1e6)
    exact = (torch.as_tensor(x[:5000]).float() + 1e6).double().numpy()
    np.testing.assert_allclose(single.matrix, np.cov(exact.T, bias=True), rtol=1e-9, atol=1e-9)


def test_skewness_agrees_with_scipy() -> None:
    x = values_of(3, 5000)
    x[:, 2] = 0.1
    expected = stats.skew(x[:, :2].numpy())
    np.testing.assert_allclose(Skewness.of(x).skewness[:2], expected, rtol=1e-9)
    assert Skewness.of(x).skewness[2] == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.uint8, torch.int16, torch.bool])
def test_quantiles_in_memory_are_numpys(dtype: torch.dtype) -> None:
    x = (values_of(4, 999) * 3).clamp(0, 255).to(dtype)
    shares = [0.0, 0.01, 0.25, 1 / 3, 0.5, 0.9, 1.0]
    state = Quantiles.empty(3).update(x)
    np.testing.assert_allclose(state.at(shares), np.quantile(x.double().numpy(), shares, axis=0), rtol=1e-12)
    assert state.rank_error == 0


@pytest.mark.parametrize("order", ["random", "sorted", "reversed", "in pieces"])
def test_a_sketch_keeps_within_its_rank_error(order: str) -> None:
    count = 200_000
    x = torch.randn(count, 2, generator=torch.Generator().manual_seed(0)).double()
    x = {"random": x, "sorted": x.sort(0).values, "reversed": x.sort(0, descending=True).values, "in pieces": x}[order]
    parts = torch.tensor_split(x, 37)
    if order == "in pieces":  # merged as a tree
        states = [Quantiles.empty(2, 2048).update(part) for part in parts]
        while len(states) > 1:
            states = [
                states[i].merge(states[i + 1]) if i + 1 < len(states) else states[i] for i in range(0, len(states), 2)
            ]
        state = states[0]
    else:
        state = Quantiles.empty(2, 2048)
        for part in parts:
            state = state.update(part)
    assert state.count == count
    assert 0 < state.rank_error <= np.log2(count / state.capacity) / (2 * state.capacity) * 1.01
    assert sum(len(chunk) for level in state.levels for chunk in level) < 20 * state.capacity
    shares = torch.linspace(0, 1, 41).tolist()
    ranks = torch.searchsorted(x.T.sort(1).values.contiguous(), state.at(shares).T.contiguous()).T
    wrong = (ranks - torch.tensor(shares)[:, None] * (count - 1)).abs() / count
    # Between two values kept the answer is interpolated: half the weight of the topmost level comes on top.
    assert wrong.max() <= state.rank_error + 2 ** (len(state.levels) - 1) / count

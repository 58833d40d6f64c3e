"""Augmentations of tokens against plain loops over their draws, and the rates that they promise."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.parts.augmentations import Compose, TokenDrop, TokenMask, TokenSwap

KEEP = (101, 102)
ALL = [
    TokenDrop(0.3, keep=KEEP),
    TokenSwap(0.5, keep=KEEP),
    TokenMask(0.3, mask=3, keep=KEEP),
    TokenMask(0.3, mask=3, vocabulary=500, keep=KEEP),
]
EACH = pytest.mark.parametrize("part", ALL, ids=str)
SURE = 1 - 1e-9


def texts(count: int, size: int = 30, dtype: torch.dtype = torch.int64) -> Tensor:
    """[CLS] words [SEP] padding, of 1 to size − 2 words."""
    rng = np.random.default_rng(0)
    found = np.zeros((count, size), np.int64)
    for row in found:
        length = rng.integers(1, size - 1)
        row[: length + 2] = [101, *rng.integers(200, 500, length), 102]
    return torch.from_numpy(found).to(dtype)


# ---------------------------------------------------------------------- what all of them promise


@EACH
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_a_row_does_not_depend_on_its_batch(part: Any, p: float) -> None:
    part, x, ids = replace(part, p=p), texts(50), np.arange(50) * 3 + 1
    whole = part(x, ids=ids, epoch=2, seed=5)
    for size in (1, 7):
        parts = [part(x[i : i + size], ids=ids[i : i + size], epoch=2, seed=5) for i in range(0, 50, size)]
        assert torch.equal(torch.cat(parts), whole)
    order = torch.randperm(50)
    assert torch.equal(part(x[order], ids=ids[order], epoch=2, seed=5), whole[order])
    assert torch.equal(part(x[order[:9]], ids=ids[order[:9]], epoch=2, seed=5), whole[order[:9]])
    for other in ({"epoch": 3, "seed": 5}, {"epoch": 2, "seed": 6}):
        assert not torch.equal(part(x, ids=ids, **other), whole)


@EACH
def test_more_padding_changes_nothing(part: Any) -> None:
    x = texts(50)
    longer = torch.cat([x, torch.zeros(50, 13, dtype=x.dtype)], 1)
    found = part(longer, ids=range(50))
    assert torch.equal(found[:, :30], part(x, ids=range(50)))
    assert not bool(found[:, 30:].any())


@EACH
@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
def test_types_are_kept_and_the_batch_is_not_changed(part: Any, dtype: torch.dtype) -> None:
    x = texts(50, dtype=dtype)
    kept = x.clone()
    found = part(x, ids=range(50))
    assert found.dtype == dtype
    assert torch.equal(x, kept)
    assert found.data_ptr() != x.data_ptr()
    assert torch.equal(found.long(), part(texts(50), ids=range(50)))


@EACH
def test_a_probability_and_one_draw_for_all(part: Any) -> None:
    x = texts(2000)
    half = replace(part, p=0.5)
    applied = Compose(half).draw(range(2000), shape=(30,)).drawn[0]["applied"]
    low, high = stats.binom.interval(SURE, 2000, 0.5)
    assert low <= applied.sum() <= high
    found, whole = half(x, ids=range(2000)), part(x, ids=range(2000))
    assert torch.equal(found[~applied], x[~applied])
    assert torch.equal(found[applied], whole[applied])
    same = replace(part, per="batch")(x[:1].expand(50, -1), ids=range(50))
    assert torch.equal(same, same[:1].expand_as(same))


@EACH
@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_padding_and_kept_ids_are_not_touched(part: Any, rate: float) -> None:
    x = texts(300)
    found = replace(part, rate=rate)(x, ids=range(300))
    if isinstance(part, TokenDrop):  # what is left has moved up
        for own in KEEP:
            assert torch.equal((found == own).sum(1), (x == own).sum(1))
        assert torch.equal(found[:, 0], x[:, 0])
        for row in found.numpy():
            end = np.flatnonzero(row)[-1]
            assert row[end] == 102
            assert (row[:end] != 0).all()
    else:
        for own in (0, *KEEP):
            assert torch.equal(found == own, x == own)
    assert not torch.equal(found, x)


@EACH
def test_short_rows(part: Any) -> None:
    for size in (1, 2):
        x = torch.full((40, size), 300)
        found = part(x, ids=range(40))
        assert found.shape == x.shape
        assert bool((found[:, 0] != 0).all())
    empty = torch.zeros(5, 8, dtype=torch.int64)
    assert torch.equal(part(empty), empty)
    assert part(torch.zeros(4, 0, dtype=torch.int64)).shape == (4, 0)


# ---------------------------------------------------------------------- each of them


def test_what_is_dropped_is_closed_up() -> None:
    rng = np.random.default_rng(1)
    x = torch.from_numpy(np.stack([rng.permutation(40) + 1 for _ in range(3000)]))  # each token once in its row
    found = TokenDrop(0.2)(x, ids=range(3000)).numpy()
    gone = 0
    for before, after in zip(x.numpy(), found, strict=True):
        left = before[np.isin(before, after)]
        assert (after[: len(left)] == left).all()
        assert not after[len(left) :].any()
        gone += 40 - len(left)
    low, high = stats.binom.interval(SURE, x.numel(), 0.2)
    assert low <= gone <= high


def test_dropped_rows_are_filled_with_the_padding_given() -> None:
    x = torch.tensor([[5, 6, 7, 8, 9, 9], [5, 6, 7, 8, 9, 9]])
    found = TokenDrop(0.5, padding=9)(x, ids=range(2))
    for row in found.tolist():
        words = [t for t in row if t != 9]
        assert words == sorted(set(words))
        assert row == words + [9] * (6 - len(words))
    assert bool((found != 9).any())


def test_a_row_is_never_emptied() -> None:
    x = torch.tensor([[5, 6, 7, 0], [8, 0, 0, 0], [0, 0, 0, 0], [0, 4, 2, 0]])
    assert TokenDrop(1.0)(x).tolist() == [[5, 0, 0, 0], [8, 0, 0, 0], [0, 0, 0, 0], [0, 4, 0, 0]]
    many = TokenDrop(0.7)(torch.full((2000, 2), 5), ids=range(2000))
    assert bool((many[:, 0] == 5).all())
    low, high = stats.binom.interval(SURE, 2000, 0.3**2)
    assert low <= int((many[:, 1] == 5).sum()) <= high


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_swaps_are_of_neighbors_and_as_many_as_the_rate_says(rate: float) -> None:
    x = torch.arange(1, 42).repeat(20_000, 1)
    found = TokenSwap(rate)(x, ids=range(20_000))
    move = found - x
    assert set(move.unique().tolist()) <= {-1, 0, 1}
    up = move[:, :-1] == 1
    assert torch.equal(up, move[:, 1:] == -1)  # one goes up where its neighbor goes down
    assert not bool((up[:, 1:] & up[:, :-1]).any())
    low, high = stats.binom.interval(SURE, 20_000, rate / 2)
    for column in (0, 1, 2, 20, 39):  # each place begins a pair as often
        assert low <= int(up[:, column].sum()) <= high


def test_the_mask_without_a_vocabulary() -> None:
    x = torch.randint(10, 500, (3000, 40))
    found = TokenMask(0.15, mask=3)(x, ids=range(3000))
    masked = found == 3
    assert torch.equal(found[~masked], x[~masked])
    low, high = stats.binom.interval(SURE, x.numel(), 0.15)
    assert low <= int(masked.sum()) <= high


def test_the_mask_as_bert_has_it() -> None:
    x = torch.full((20_000, 20), 5000)  # beyond the vocabulary, so that a random id is never the one that was there
    found = TokenMask(0.3, mask=3, vocabulary=30, padding=0, keep=(7, 11, 999))(x, ids=range(20_000))
    masked, random = (found == 3), (found != 3) & (found != 5000)
    for share, own in ((0.24, masked), (0.03, random)):
        low, high = stats.binom.interval(SURE, x.numel(), share)
        assert low <= int(own.sum()) <= high
    counts = np.bincount(found[random].numpy(), minlength=30)
    spared = [0, 3, 7, 11]
    assert not counts[spared].any()
    assert stats.chisquare(np.delete(counts, spared)).pvalue > 1e-4


def test_special_ids_are_spared_at_random_too() -> None:
    x = texts(3000)
    found = TokenMask(1.0, mask=103, vocabulary=105, keep=KEEP)(x, ids=range(3000))
    words = (x != 0) & (x != 101) & (x != 102)
    assert not bool(torch.isin(found[words], torch.tensor([0, 101, 102])).any())
    assert bool((found[words] == 104).any())


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TokenDrop(1.5), r"TokenDrop got rate=1.5; allowed: a number from 0 to 1"),
        (lambda: TokenDrop(0.1, padding=0.5), r"padding=0.5; allowed: an id of a token"),  # type: ignore[arg-type]
        (lambda: TokenDrop(0.1, keep=5), r"keep=5; allowed: ids of tokens"),  # type: ignore[arg-type]
        (lambda: TokenSwap(-0.1), r"TokenSwap got rate=-0.1"),
        (lambda: TokenSwap(0.1, keep=("a",)), r"keep=\('a',\)"),  # type: ignore[arg-type]
        (lambda: TokenMask(2.0, mask=3), r"TokenMask got rate=2.0"),
        (lambda: TokenMask(0.1, mask=None), r"mask=None; allowed: the id of the mask"),  # type: ignore[arg-type]
        (
            lambda: TokenMask(0.1, mask=3, vocabulary=2),
            r"vocabulary=2; allowed: None, or .* at least 3",
        ),
    ],
)
def test_bad_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


@EACH
def test_bad_batches_are_named(part: Any) -> None:
    with pytest.raises(DataError, match=r"tokens data got float32 \[2, 5\]; it takes integers \[B, T\]"):
        part(torch.zeros(2, 5))
    with pytest.raises(DataError, match=r"tokens data got int64 \[2, 5, 3\]"):
        part(torch.zeros(2, 5, 3, dtype=torch.int64))
    wide = replace(part, keep=(101, 30_522))
    with pytest.raises(DataError, match=r"tokens of uint8, which does not hold the id 30522; give x.long\(\)"):
        wide(torch.zeros(2, 5, dtype=torch.uint8))

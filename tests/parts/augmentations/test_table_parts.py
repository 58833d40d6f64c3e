"""Augmentations of tables: the noise's distribution, cells of the next row, and what stays as it is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.parts.augmentations import ColumnNoise, Compose, SwapNoise
from thalweg.parts.augmentations.draws import normals, spread, uniforms
from thalweg.parts.preprocessing.encoder import TableEncoder

ALL = [
    ColumnNoise(0.2),
    ColumnNoise(0.2, columns=(4, 1), scales=(10.0, 0.5)),
    SwapNoise(0.3),
    SwapNoise(0.3, columns=(0, 2)),
]
EACH = pytest.mark.parametrize("part", ALL, ids=str)
SURE = 1 - 1e-9


@pytest.fixture
def x() -> Tensor:
    """A fifth of its cells missing."""
    table = torch.randn(50, 6) * 3 + 1
    return table.masked_fill(torch.rand(50, 6) < 0.2, torch.nan)


def same(a: Tensor, b: Tensor) -> bool:
    return bool(((a == b) | (a.isnan() & b.isnan())).all())


@pytest.mark.parametrize("part", ALL[:2], ids=str)
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_a_row_does_not_depend_on_its_batch(part: Any, x: Tensor, p: float) -> None:
    part, ids = replace(part, p=p), np.arange(50) * 3 + 1
    whole = part(x, ids=ids, epoch=2, seed=5)
    for size in (1, 7):
        parts = [part(x[i : i + size], ids=ids[i : i + size], epoch=2, seed=5) for i in range(0, 50, size)]
        assert same(torch.cat(parts), whole)
    order = torch.randperm(50)
    assert same(part(x[order], ids=ids[order], epoch=2, seed=5), whole[order])
    for other in ({"epoch": 3, "seed": 5}, {"epoch": 2, "seed": 6}):
        assert not same(part(x, ids=ids, **other), whole)


def test_cells_that_are_swapped_do_not_depend_on_the_batch() -> None:
    x = torch.zeros(50, 6)
    x[:] = torch.arange(50.0)[:, None]
    whole = SwapNoise(0.4)(x, ids=range(50)) != x
    for size in (2, 7):
        parts = [SwapNoise(0.4)(x[i : i + size], ids=range(50)[i : i + size]) for i in range(0, 50, size)]
        assert torch.equal(torch.cat(parts)[:-1] != x[:-1], whole[:-1])  # the last batch of 7 may have one row
    order = torch.randperm(50)
    assert torch.equal(SwapNoise(0.4)(x[order], ids=order) != x[order], whole[order])
    assert torch.equal(SwapNoise(1.0)(x[:1], ids=[0]), x[:1])


@EACH
def test_what_is_missing_stays_missing_and_nothing_else_becomes_so(part: Any, x: Tensor) -> None:
    found = part(x, ids=range(50))
    assert torch.equal(found.isnan(), x.isnan())
    assert not same(found, x)
    chosen = list(range(6)) if part.columns is None else list(part.columns)
    others = [i for i in range(6) if i not in chosen]
    assert same(found[:, others], x[:, others])


@EACH
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_types_are_kept_and_the_batch_is_not_changed(part: Any, x: Tensor, dtype: torch.dtype) -> None:
    given = x.to(dtype)
    kept = given.clone()
    found = part(given, ids=range(50))
    assert found.dtype == dtype
    assert same(given, kept)
    assert found.data_ptr() != given.data_ptr()
    due = part(given.double(), ids=range(50)).to(dtype)
    torch.testing.assert_close(found, due, equal_nan=True, rtol=torch.finfo(dtype).eps * 2, atol=1e-6)


@EACH
def test_a_probability_and_one_draw_for_all(part: Any) -> None:
    x = torch.randn(2000, 6)
    half = replace(part, p=0.5)
    applied = Compose(half).draw(range(2000), shape=(6,)).drawn[0]["applied"]
    low, high = stats.binom.interval(SURE, 2000, 0.5)
    assert low <= applied.sum() <= high
    found, whole = half(x, ids=range(2000)), part(x, ids=range(2000))
    assert torch.equal(found[~applied], x[~applied])
    assert torch.equal(found[applied], whole[applied])
    ramp = torch.arange(40.0)[:, None].expand(-1, 6)
    change = replace(part, per="batch")(ramp, ids=range(40))[:-1] - ramp[:-1]
    torch.testing.assert_close(change, change[:1].expand_as(change), atol=1e-4, rtol=0)


def test_noise_is_normal_in_units_of_the_scales() -> None:
    x = torch.randn(4000, 5, dtype=torch.float64)
    part = ColumnNoise(0.1, columns=(0, 3), scales=(2.0, 50.0))
    noise = (part(x, ids=range(4000)) - x).numpy()
    assert not noise[:, [1, 2, 4]].any()
    seed = Compose(part).draw(range(4000), shape=(5,)).drawn[0]["seed"]
    np.testing.assert_allclose(noise[:, [0, 3]], normals(seed, 2) * np.array([0.2, 5.0]), atol=1e-12)
    for column, scale in ((0, 0.2), (3, 5.0)):
        assert stats.kstest(noise[:, column] / scale, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(noise[:, 0], noise[:, 3])[0, 1]) < 5 / 4000**0.5


def test_swapped_cells_are_those_of_the_next_row() -> None:
    x = torch.arange(6000 * 8.0).reshape(6000, 8)
    part = SwapNoise(0.3)
    found = part(x, ids=range(6000))
    seed = Compose(part).draw(range(6000), shape=(8,)).drawn[0]["seed"]
    hit = torch.from_numpy(uniforms(spread(seed, 8)) < 0.3)
    assert torch.equal(found, torch.where(hit, x.roll(-1, 0), x))
    low, high = stats.binom.interval(SURE, x.numel(), 0.3)
    assert low <= int((found != x).sum()) <= high


def test_codes_of_an_encoded_table_are_not_touched() -> None:
    jobs = ["cook", "clerk", "cook", "pilot"]
    frame = pd.DataFrame({"age": [30.0, None, 50.0, 41.0], "job": jobs, "pay": [1.0, 2, 3, 4]})
    encoder = TableEncoder.fit(frame)
    x = encoder.encode(frame)
    numbers = tuple(i for i, column in enumerate(encoder.columns) if column.kind == "number")
    found = ColumnNoise(0.1, columns=numbers, scales=(8.0, 1.0))(x, ids=range(4))
    assert same(found[:, 1], x[:, 1])
    assert torch.equal(found[:, 0].isnan(), x[:, 0].isnan())
    assert bool((found[:, 2] != x[:, 2]).all())
    swapped = SwapNoise(0.5)(x, ids=range(4))
    for column in range(3):  # each cell is one of the column's values
        known = x[:, column][~x[:, column].isnan()]
        assert bool((torch.isin(swapped[:, column], known) | swapped[:, column].isnan()).all())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ColumnNoise(-1.0), r"ColumnNoise got std=-1.0; allowed: a number of at least 0"),
        (
            lambda: ColumnNoise(columns=(0, 0)),
            r"columns=\(0, 0\); allowed: None, or places of .*, each once",
        ),
        (lambda: ColumnNoise(columns=(-1,)), r"columns=\(-1,\)"),
        (lambda: ColumnNoise(columns=3), r"columns=3"),  # type: ignore[arg-type]
        (lambda: ColumnNoise(columns=(0, 1), scales=(1.0,)), r"scales=\(1.0,\); allowed: None, or numbers"),
        (lambda: ColumnNoise(scales=(1.0, -1.0)), r"scales=\(1.0, -1.0\)"),
        (lambda: ColumnNoise(scales=2.0), r"scales=2.0"),  # type: ignore[arg-type]
        (lambda: SwapNoise(1.1), r"SwapNoise got rate=1.1"),
    ],
)
def test_bad_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_bad_batches_are_named() -> None:
    with pytest.raises(DataError, match=r"table data got int64 \[2, 5\]; it takes floats \[B, F\]"):
        ColumnNoise()(torch.zeros(2, 5, dtype=torch.int64))
    with pytest.raises(DataError, match=r"table data got float32 \[2, 5, 3\]"):
        SwapNoise()(torch.zeros(2, 5, 3))
    with pytest.raises(DataError, match=r"got a table of 3 columns; there is no column 4"):
        SwapNoise(columns=(0, 4))(torch.zeros(2, 3))
    with pytest.raises(DataError, match=r"scales for 2 of 3 columns; give one for each"):
        ColumnNoise(scales=(1.0, 2.0))(torch.zeros(2, 3))
    assert SwapNoise(columns=())(torch.ones(2, 3)).tolist() == [[1.0] * 3] * 2

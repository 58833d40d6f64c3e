"""Every way to split works for every form of the data: at random, stratified, by group, by time, and as given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image

from thalweg.data import stored
from thalweg.data.prepare import Prepared, prepare
from thalweg.errors import UsageError

SIZE = 120
INDEX = np.arange(SIZE)
X = np.random.default_rng(0).standard_normal((SIZE, 4)).astype(np.float32)
Y = np.where(INDEX % 10 < 3, 1, 0)  # 30 %, in the order of the image folder's files too
PERSON, DAY = (INDEX * 7) % 23, (INDEX * 7) % SIZE  # 23 persons; one row a day


def frame() -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "person": PERSON, "day": DAY, "y": Y})


def in_parquet(folder: Path) -> Path:
    frame().to_parquet(folder / "x.parquet")
    return folder / "x.parquet"


def in_csv(folder: Path) -> Path:
    frame().to_csv(folder / "x.csv", index=False)
    return folder / "x.csv"


def in_images(folder: Path) -> Path:
    """Files in the order of the rows: the ones of class 0 first."""
    order = np.argsort(Y, kind="stable")
    for i, row in enumerate(order):
        (folder / "photos" / str(Y[row])).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), row, np.uint8)).save(folder / "photos" / str(Y[row]) / f"{i:03}.png")
    return folder / "photos"


def in_npz(folder: Path) -> Path:
    np.savez(folder / "d.npz", x=X, y=Y)
    return folder / "d.npz"


def on_disk(folder: Path) -> tuple[Path, Any]:
    np.save(folder / "x.npy", X)
    return folder / "x.npy", Y


FORMS: dict[str, Callable[[Path], Any]] = {
    "arrays": lambda _: (X, Y),
    "tensors": lambda _: (torch.from_numpy(X), torch.from_numpy(Y)),
    "pandas": lambda _: frame(),
    "polars": lambda _: pl.DataFrame(frame().to_dict("list")),
    "csv": in_csv,
    "parquet": in_parquet,
    "npz": in_npz,
    "images": in_images,
    "on disk": on_disk,
    "dataset": lambda _: [(torch.from_numpy(x), int(y)) for x, y in zip(X, Y, strict=True)],
}
TABLES = ("pandas", "polars", "csv", "parquet")


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Prepared]:
    monkeypatch.setattr(stored, "most_resident", lambda: 0)

    def prepared(form: str, **options: Any) -> Prepared:
        target = {"target": "y"} if form in TABLES else {}
        return prepare(FORMS[form](tmp_path), loss_name="cross_entropy", directory=tmp_path, **target, **options)

    return prepared


def ids_of(data: Prepared) -> dict[str, list[int]]:
    assert data.test is not None
    parts = {"train": data.train, "validation": data.validation, "test": data.test.open("run")}
    return {part: rows.ids.tolist() for part, rows in parts.items()}


@pytest.mark.parametrize("form", FORMS)
def test_stratified_and_random(make: Callable[..., Prepared], form: str) -> None:
    stratified, random = make(form), make(form, split="random")
    assert stratified.split["method"] == "stratified"
    for part, rows in stratified.split["rows"].items():
        assert abs(stratified.split["classes"]["1"][part] - 0.3 * rows) < 1
    assert random.split["method"] == "random"
    for data in (stratified, random):
        assert sorted(sum(ids_of(data).values(), [])) == INDEX.tolist()  # noqa: RUF017
        assert list(data.split["rows"].values()) == [78, 18, 24]
    assert ids_of(random) == ids_of(make("arrays", split="random"))  # a function of the seed and the number of rows


@pytest.mark.parametrize("form", FORMS)
def test_by_group_and_by_time(make: Callable[..., Prepared], form: str) -> None:
    grouped = make(form, groups="person" if form in TABLES else PERSON)
    persons = [set(PERSON[ids]) for ids in ids_of(grouped).values()]
    assert grouped.split["method"] == "by group"
    assert sum(map(len, persons)) == 23  # none of them in two parts
    ordered = make(form, time="day" if form in TABLES else torch.from_numpy(DAY))
    days = [DAY[ids] for ids in ids_of(ordered).values()]
    assert ordered.split["method"] == "by time"
    assert days[0].max() < days[1].min() <= days[1].max() < days[2].min()


@pytest.mark.parametrize("form", FORMS)
def test_given(make: Callable[..., Prepared], tmp_path: Path, form: str) -> None:
    (tmp_path / "other").mkdir()
    other = FORMS[form](tmp_path / "other")
    data = make(form, test=other)
    assert data.split["given"] == ["test"]
    assert list(data.split["rows"].values()) == [102, 18, 120]


def test_words_that_mean_nothing(make: Callable[..., Prepared]) -> None:
    with pytest.raises(
        UsageError, match=r"split got 'randomly'; allowed: 'auto' or 'random'.* Did you mean 'random'\?"
    ):
        make("arrays", split="randomly")
    with pytest.raises(UsageError, match="the latter without groups and time"):
        make("arrays", split="random", groups=PERSON)


def test_text_in_a_column_of_numbers(make: Callable[..., Prepared], tmp_path: Path) -> None:
    from thalweg.errors import DataError

    mixed = frame().astype({"a": object})
    mixed.loc[[17, 40], "a"] = "n/k"
    with pytest.raises(DataError, match="Column 'a' held numbers in training and now holds 'n/k' in row 17"):
        make("pandas", test=mixed)
    text = prepare(mixed, target="y", loss_name="cross_entropy", directory=tmp_path)
    assert text.table is not None
    assert text.table.columns[0].kind == "category"

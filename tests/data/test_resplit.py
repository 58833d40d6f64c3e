"""Validation rows drawn anew: as many, by the same method, never a test row, and the seal stays what it was."""

import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from thalweg.data.prepare import Prepared, prepare
from thalweg.data.resplit import DRAWN, resplit, why_not
from thalweg.data.rows import Rows
from thalweg.data.sample import read
from thalweg.data.seal import digest_of
from thalweg.errors import DataError


def labels(num_rows: int = 400) -> torch.Tensor:
    return torch.arange(num_rows) % 4


def inputs(num_rows: int = 400) -> torch.Tensor:
    """A row's first number is its place, so that it can be told where it went."""
    x = torch.randn(num_rows, 3, generator=torch.Generator().manual_seed(0))
    x[:, 0] = torch.arange(num_rows)
    return x


class Squares(Dataset):
    def __len__(self) -> int:
        return 400

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([float(row), row**2]), row % 4


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"place": range(400), "job": [f"job {k % 7}" for k in range(400)], "y": [k % 4 for k in range(400)]}
    )


SOURCES = {
    "arrays": lambda: {"train": (inputs(), labels())},
    "several inputs": lambda: {"train": ({"a": inputs(), "b": inputs()[:, :1]}, labels())},
    "tuple": lambda: {"train": ((inputs(), inputs()), labels())},
    "weights": lambda: {"train": (inputs(), labels()), "sample_weights": torch.arange(400) + 1.0},
    "groups": lambda: {"train": (inputs(), labels()), "groups": torch.arange(400) // 5},
    "random": lambda: {"train": (inputs(), labels()), "split": "random"},
    "table": lambda: {"train": frame(), "target": "y"},
    "dataset": lambda: {"train": Squares()},
    "tensor dataset": lambda: {"train": TensorDataset(inputs(), labels())},
    "own test": lambda: {"train": (inputs(), labels()), "test": (inputs(), labels())},
}


def prepared(tmp_path, kind: str) -> Prepared:
    return prepare(**SOURCES[kind](), loss_name="cross_entropy", directory=tmp_path)


def content(rows) -> dict[int, tuple]:
    """id -> input and target of each row."""
    whole = rows if isinstance(rows, Rows) else read(rows, torch.arange(len(rows)))
    x = whole.inputs
    x = torch.cat(list(x.values()), 1) if isinstance(x, dict) else torch.cat(x, 1) if isinstance(x, tuple) else x
    parts = [x.tolist(), whole.target.tolist()]
    parts += [] if rows.weights is None else [rows.weights.tolist()]
    return {
        row: (repr(values), part) for row, *values, part in zip(rows.ids.tolist(), *parts, [0] * len(x), strict=True)
    }


@pytest.mark.parametrize("kind", SOURCES)
def test_rows_move_whole_and_test_rows_stay(tmp_path, kind):
    first = prepared(tmp_path, kind)
    digest = first.test.digest
    other = resplit(first, seed=1)
    assert content(other.train) | content(other.validation) == content(first.train) | content(first.validation)
    assert not set(other.train.ids.tolist()) & set(other.validation.ids.tolist())
    assert set(other.validation.ids.tolist()) != set(first.validation.ids.tolist())
    assert (other.train.part, other.validation.part) == ("train", "validation")
    assert other.test is first.test
    assert digest_of(other.test._rows) == digest
    assert other.test.count() == 0
    if kind != "groups":
        assert len(other.validation) == len(first.validation)
    assert other.split["rows"] == {
        p: len(r) for p, r in (("train", other.train), ("validation", other.validation), ("test", other.test))
    }
    assert other.description.startswith(f"{len(other.train):,}/{len(other.validation):,} rows")
    assert other.split[DRAWN] == 1
    assert other.digest() != first.digest()


@pytest.mark.parametrize("kind", SOURCES)
def test_a_function_of_the_seed_and_the_rows_alone(tmp_path, kind):
    first = prepared(tmp_path, kind)
    once, again, by_way = resplit(first, seed=3), resplit(first, seed=3), resplit(resplit(first, seed=8), seed=3)
    assert once.digest() == again.digest()
    if kind != "groups":  # by whole groups the sizes may differ by a group, and so the share
        assert once.digest() == by_way.digest()
    assert once.digest() != resplit(first, seed=4).digest()


def test_classes_keep_their_shares(tmp_path):
    other = resplit(prepared(tmp_path, "arrays"), seed=5)
    assert torch.bincount(other.validation.target).tolist() == [15, 15, 15, 15]
    assert other.split["classes"]["2"] == {"train": 65, "validation": 15, "test": 20}
    spread = resplit(prepared(tmp_path, "random"), seed=5)
    assert torch.bincount(spread.validation.target).tolist() != [15, 15, 15, 15]


def test_groups_stay_together(tmp_path):
    first = prepared(tmp_path, "groups")
    for seed in range(5):
        other = resplit(first, seed=seed)
        in_both = set((other.train.ids // 5).tolist()) & set((other.validation.ids // 5).tolist())
        assert not in_both
        assert torch.equal(other.validation.groups, other.validation.ids // 5)


def test_label_sets_keep_their_shares(tmp_path):
    target = torch.stack([torch.arange(400) % 2, torch.arange(400) % 4 == 0], 1).float()
    first = prepare((inputs(), target), loss_name="binary_cross_entropy", directory=tmp_path)
    other = resplit(first, seed=1)
    assert other.validation.target.sum(0).tolist() == first.validation.target.sum(0).tolist()
    assert other.split["classes"]["0"]["validation"] == int(other.validation.target[:, 0].sum())


def test_a_view_gives_out_its_own_rows_only(tmp_path):
    first = prepared(tmp_path, "dataset")
    other = resplit(first, seed=1)
    row = int(other.validation.ids[0])
    assert other.validation.dataset[row][1] == row % 4
    for foreign in (int(other.train.ids[0]), *first.test._rows.ids[:3].tolist()):
        with pytest.raises(DataError, match="is not one of the"):
            other.validation.dataset[foreign]
    with pytest.raises(DataError, match="is not one of the"):
        other.train.dataset[int(first.test._rows.ids[0])]


def test_each_row_validates_as_often_as_its_share(tmp_path):
    """Over many seeds every row that is not sealed is drawn with probability 60/320, independently of the others."""
    first, counts, draws = prepared(tmp_path, "random"), torch.zeros(400), 400
    for seed in range(draws):
        counts[resplit(first, seed=seed).validation.ids] += 1
    open_rows = torch.cat([first.train.ids, first.validation.ids])
    share = 60 / 320
    chi_square = ((counts[open_rows] - draws * share) ** 2 / (draws * share * (1 - share))).sum()
    assert 320 - 5 * (2 * 320) ** 0.5 < float(chi_square) < 320 + 5 * (2 * 320) ** 0.5
    assert counts.sum() == draws * 60


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"validation": (inputs(40), labels(40))}, "the validation rows were given"),
        ({"time": torch.arange(400)}, "the split is by time"),
    ],
)
def test_what_cannot_be_drawn_says_why(tmp_path, given, reason):
    data = prepare((inputs(), labels()), **given, loss_name="cross_entropy", directory=tmp_path)
    assert why_not(data) == reason


def test_a_loader_cannot_be_drawn(tmp_path):
    loader = torch.utils.data.DataLoader(TensorDataset(inputs(), labels()), batch_size=50)
    data = prepare(loader, validation=loader.dataset, test=False, loss_name="cross_entropy", directory=tmp_path)
    assert why_not(data)

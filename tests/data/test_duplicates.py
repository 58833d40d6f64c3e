"""Duplicates across the parts: counted exactly, told from chance, and never shown."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from thalweg import Experiment
from thalweg.data.duplicates import find_duplicates
from thalweg.data.prepare import prepare
from thalweg.data.rows import Part, Rows
from thalweg.readings import Readings
from thalweg.rules import judge_all, rule


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def readings_of(x: Any, y: Any, folder: Path, **options: Any) -> Readings:
    return Readings(prepare((x, y), loss_name="cross_entropy", directory=folder, **options).readings)


def finding(readings: Readings) -> tuple[str, str] | None:
    found = judge_all(readings, [rule("DATA04")]).findings
    return (found[0].severity, found[0].standing) if found else None


@pytest.mark.parametrize("form", ["tensor", "tuple", "dict", "bytes"])
def test_counts_are_exact(form: str) -> None:
    """Beside a count by Python's own sets of tuples."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 3, (400, 5), generator=generator).float()
    target = torch.randint(0, 2, (400,), generator=generator)
    inputs: Any = {
        "tensor": values,
        "tuple": (values[:, :2], values[:, 2:]),
        "dict": {"a": values[:, :1], "b": values[:, 1:]},
        "bytes": values.to(torch.uint8),
    }[form]
    order = torch.randperm(400, generator=generator)
    spans: dict[Part, Tensor] = {"train": order[:250], "validation": order[250:320], "test": order[320:]}

    def part(name: Part, ids: Tensor) -> Rows:
        own = {
            "tensor": lambda: inputs[ids],
            "bytes": lambda: inputs[ids],
            "tuple": lambda: tuple(v[ids] for v in inputs),
            "dict": lambda: {key: v[ids] for key, v in inputs.items()},
        }[form]()
        return Rows(own, target[ids], ids, name)

    readings = Readings(find_duplicates({name: part(name, ids) for name, ids in spans.items()}))
    rows = [tuple(row.tolist()) for row in values]
    train = [rows[i] for i in spans["train"]]
    labeled = {(rows[i], int(target[i])) for i in spans["train"]}
    for name in ("validation", "test"):
        ids = spans[name].tolist()  # type: ignore[index]
        twins = [i for i in ids if rows[i] in set(train)]
        share = readings.last("duplicates.share", name)
        assert share is not None
        assert share.value == len(twins) / len(ids)
        assert share.count == len(ids)
        pair = share.note.split(", ")[0].split(" = ")
        one, other = (int(text.rsplit(" ", 1)[1].replace(",", "")) for text in pair)
        assert one in twins
        assert rows[one] == rows[other]
        assert other in spans["train"]
        assert readings.value("duplicates.conflicts", name) == sum(
            (rows[i], int(target[i])) not in labeled for i in twins
        )
        assert readings.value("duplicates.expected", name) == sum(train.count(row) > 1 for row in train) / 250
    different = [row for row in train if {(row, 0), (row, 1)} <= labeled]
    assert readings.value("duplicates.conflicts", "train") == len(different)


def test_copies_of_rows_of_numbers_are_a_suspicion(tmp_path: Path) -> None:
    x = random(600, 6)
    x[500:550] = x[:50]
    readings = readings_of(x, torch.arange(600) % 2, tmp_path)
    assert finding(readings) == ("warning", "suspicion")
    notes = prepare((x, torch.arange(600) % 2), loss_name="cross_entropy", directory=tmp_path).split["notes"]
    assert [note.split(" of ", 1)[1] for note in notes] == [
        "90 validation rows are copies of training rows",
        "120 test rows are copies of training rows",
    ]


def test_a_test_set_that_holds_training_rows(tmp_path: Path) -> None:
    x, y = random(500, 6), torch.arange(500) % 2
    readings = readings_of(x, y, tmp_path, test=(torch.cat([random(90, 6, seed=1), x[:10]]), torch.arange(100) % 2))
    assert finding(readings) == ("warning", "suspicion")
    test = readings.last("duplicates.share", "test")
    assert test is not None
    assert test.count == 100
    trained = sum(f"= training row {i}" in test.note for i in range(10))
    assert trained == min(round(test.value * 100), 5)


def test_a_handful_in_a_large_table_is_a_note(tmp_path: Path) -> None:
    x = random(5000, 6)
    x[4990:] = x[:10]
    readings = readings_of(x, torch.arange(5000) % 2, tmp_path)
    assert finding(readings) in (("note", "proven"), None)
    assert readings.value("duplicates.share", "test") < 0.01  # type: ignore[operator]


CATEGORICAL = {
    "one column": lambda g: g.integers(0, 5, (3000, 1)),
    "four columns": lambda g: g.integers(0, 4, (3000, 4)),
    "skewed": lambda g: np.minimum(g.geometric(0.4, (3000, 8)), 6),
    "one-hot": lambda g: np.eye(7)[g.integers(0, 7, (2000, 3))].reshape(2000, -1),
    "rounded, related": lambda g: np.round(g.standard_normal((3000, 1)) + 0.2 * g.standard_normal((3000, 4))),
    "binary survey": lambda g: (g.random((2000, 16)) < 0.15).astype(int),
}


@pytest.mark.parametrize("kind", CATEGORICAL)
@pytest.mark.parametrize("seed", range(5))
def test_few_different_rows_do_not_alarm(tmp_path: Path, kind: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = CATEGORICAL[kind](generator)
    readings = readings_of(x.astype(np.float32), generator.integers(0, 2, len(x)), tmp_path)
    assert readings.value("duplicates.share", "test") > 0.02  # type: ignore[operator]
    assert finding(readings) == ("note", "proven")


def test_more_than_by_chance_among_few_different_rows_is_a_suspicion(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.integers(0, 5, (1500, 6)).astype(np.float32)  # 15,625 different rows are possible
    y = generator.integers(0, 2, 1500)
    test = (np.concatenate([x[:150], generator.integers(0, 5, (150, 6)).astype(np.float32)]), y[:300])
    readings = readings_of(x, y, tmp_path, test=test)
    assert finding(readings) == ("warning", "suspicion")


def test_an_oversampled_class_is_found(tmp_path: Path) -> None:
    """The classical mistake: the rare class is repeated before the split."""
    x, rare = random(950, 8), random(50, 8, seed=1)
    y = torch.cat([torch.zeros(950), torch.ones(950)]).long()
    readings = readings_of(torch.cat([x, rare.repeat(19, 1)]), y, tmp_path)
    assert finding(readings) == ("warning", "suspicion")
    assert readings.value("duplicates.informative", "test") == pytest.approx(0.5, abs=0.01)


def test_real_tables(tmp_path: Path, digits: tuple[Tensor, Tensor], breast_cancer: tuple[Tensor, Tensor]) -> None:
    for x, y in (digits, breast_cancer):
        assert finding(readings_of(x, y, tmp_path)) is None
        assert finding(readings_of(torch.cat([x, x]), torch.cat([y, y]), tmp_path)) == ("warning", "suspicion")


def test_a_table_is_compared_as_it_is_encoded(tmp_path: Path) -> None:
    index = np.arange(300)
    frame = pd.DataFrame({"a": index / 7, "b": [f"name {i}" for i in index % 40], "c": index**0.5, "y": index % 2})
    frame.loc[::11, "a"] = np.nan
    whole = pd.concat([frame, frame.iloc[:60]], ignore_index=True)
    data = prepare(whole, target="y", loss_name="cross_entropy", directory=tmp_path)
    assert finding(Readings(data.readings)) == ("warning", "suspicion")
    assert data.split["notes"]


def test_labels_that_contradict_are_told(tmp_path: Path) -> None:
    x = random(400, 5)
    readings = readings_of(torch.cat([x, x]), torch.arange(800) // 400, tmp_path)
    (found,) = judge_all(readings, [rule("DATA04")]).findings
    told = {e.what: e.value for e in found.evidence}
    assert int(told["test rows whose equal has another target"]) == round(
        readings.value("duplicates.share", "test") * 160
    )  # type: ignore[operator]


def test_items_of_a_dataset_are_not_compared(tmp_path: Path) -> None:
    items = [(torch.ones(3), i % 2) for i in range(100)]
    data = prepare(items, loss_name="cross_entropy", directory=tmp_path)
    if not isinstance(data.train, Rows):
        assert data.readings == ()


def test_the_check_tells_it(tmp_path: Path) -> None:
    x = random(300, 4)
    x[200:] = x[:100]
    experiment = Experiment(
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)),
        train=(x, (x[:, 0] > 0).long()),
        loss="cross_entropy",
        directory=tmp_path,
    )
    assert "DATA04" in [f.code for f in experiment.check().findings]
    assert experiment.data.test is not None
    assert experiment.data.test.count() == 0  # and nothing was opened


def test_a_pair_in_a_small_table_is_a_note(tmp_path: Path) -> None:
    """Iris has two equal flowers, measured in tenths of a centimeter."""
    from sklearn.datasets import load_iris

    bunch = load_iris()
    readings = readings_of(bunch.data, bunch.target, tmp_path)
    found = readings.last("duplicates.share", "validation")
    assert found is not None
    assert found.note == "validation row 101 = training row 142"
    assert finding(readings) == ("note", "proven")


def test_a_row_that_stands_for_nothing_measured_is_a_note(tmp_path: Path) -> None:
    """As in mammography, where a third of the rows have the same six odd numbers, and both labels."""
    x = random(3000, 6)
    x[torch.randperm(3000, generator=torch.Generator().manual_seed(1))[:900]] = random(6, seed=2)
    readings = readings_of(x, torch.arange(3000) % 2, tmp_path)
    assert readings.value("duplicates.share", "test") > 0.2  # type: ignore[operator]
    assert finding(readings) == ("note", "proven")

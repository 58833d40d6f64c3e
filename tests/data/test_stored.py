"""Arrays that stay on disk give what the same arrays in memory give, and take no memory for it."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from thalweg import Experiment, Plan, optimizers
from thalweg.data import stored
from thalweg.data.prepare import prepare
from thalweg.data.rows import DatasetRows, Rows
from thalweg.data.seal import digest_of
from thalweg.data.stored import StoredArray, is_stored
from thalweg.errors import DataError
from thalweg.parts.preprocessing import Standardize

GENERATOR = np.random.default_rng(0)
X = (GENERATOR.standard_normal((300, 5)) * [1, 2, 3, 4, 5] + 7).astype(np.float32)
Y = (X[:, 0] > 7).astype(np.int64)


@pytest.fixture
def nothing_resident(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every memory map counts as too large for memory."""
    monkeypatch.setattr(stored, "most_resident", lambda: 0)


def mapped(folder: Path, array: np.ndarray[Any, Any], name: str = "x.npy") -> Any:
    np.save(folder / name, array)
    return np.load(folder / name, mmap_mode="r")


@given(
    dtype=st.sampled_from(["u1", ">i2", "f2", "<f4", ">f8", "i8"]),
    shape=st.lists(st.integers(1, 5), max_size=3),
    rows=st.lists(st.integers(0, 39), max_size=60),
    gap=st.sampled_from([0, 64, 8192]),
)
@settings(max_examples=60, deadline=None)
def test_rows_are_those_of_the_array(tmp_path_factory, dtype, shape, rows, gap) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("rows")
    array = np.random.default_rng(1).integers(0, 100, (40, *shape)).astype(dtype)
    expected = torch.from_numpy(array.astype({"f8": "f4"}.get(dtype[1:], dtype[-2:])))
    before, stored.GAP_BYTES = stored.GAP_BYTES, gap
    try:
        found = StoredArray.of(mapped(folder, array)).read(torch.tensor(rows, dtype=torch.int64))
    finally:
        stored.GAP_BYTES = before
    assert torch.equal(found, expected[rows])


@pytest.mark.parametrize("part", [slice(3, None), slice(5, 31), slice(0, 40, 3), slice(1, 2)])
@pytest.mark.parametrize("columns", [slice(None), slice(1, 4)])
def test_slices_know_their_place_in_the_file(tmp_path: Path, part: slice, columns: slice) -> None:
    array = np.arange(200.0, dtype=np.float32).reshape(40, 5)
    view = mapped(tmp_path, array)[part, columns]
    rows = torch.arange(len(view)).flip(0)
    assert np.array_equal(StoredArray.of(view).read(rows).numpy(), array[part, columns][::-1])


def test_a_plain_memory_map_at_an_offset(tmp_path: Path) -> None:
    array = np.arange(60_000, dtype=np.int16).reshape(-1, 6)
    (tmp_path / "x.bin").write_bytes(b"header!" + array.tobytes())
    view = np.memmap(tmp_path / "x.bin", dtype=np.int16, mode="r", offset=7, shape=array.shape)[4000:]
    assert np.array_equal(StoredArray.of(view).read(torch.tensor([5999, 0])).numpy(), array[[9999, 4000]])


def test_runs_longer_than_one_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "RUN_BYTES", 64)
    array = StoredArray.of(mapped(tmp_path, X))
    assert np.array_equal(array.read(torch.arange(300)).numpy(), X)


def test_what_cannot_be_read_by_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="stored column by column"):
        StoredArray.of(mapped(tmp_path, np.asfortranarray(X)))
    with pytest.raises(DataError, match="scattered"):
        StoredArray.of(mapped(tmp_path, X)[::-1])
    with pytest.raises(DataError, match=r"copy-on-write \(mode 'c'\)"):
        StoredArray.of(np.load(tmp_path / "x.npy", mmap_mode="c"))


def test_a_file_that_was_cut_off_or_is_gone(tmp_path: Path) -> None:
    array = StoredArray.of(mapped(tmp_path, X))
    os.truncate(tmp_path / "x.npy", 1000)
    with pytest.raises(DataError, match=r"x\.npy ends before row 299 of 300 .* restore it"):
        array.read(torch.tensor([299]))
    with pytest.raises(DataError, match=r"x\.npy ends before row 1 of 300"):
        array.read(torch.tensor([299, 1]))
    (tmp_path / "x.npy").unlink()
    with pytest.raises(DataError, match=r"x\.npy, whose rows are read as they are needed, cannot be opened"):
        array.read(torch.tensor([0]))


def test_small_maps_are_copied_into_memory(tmp_path: Path) -> None:
    assert not is_stored(mapped(tmp_path, X))
    data = prepare((mapped(tmp_path, X), Y), loss_name="cross_entropy", directory=tmp_path)
    assert isinstance(data.train, Rows)


FORMS = {
    "map": lambda folder: mapped(folder, X),
    "path": lambda folder: (mapped(folder, X), folder / "x.npy")[1],
    "text": lambda folder: (mapped(folder, X), str(folder / "x.npy"))[1],
    "tuple": lambda folder: (mapped(folder, X), X[:, :2]),
    "dict": lambda folder: {"a": mapped(folder, X), "b": mapped(folder, X[:, 1:], "b.npy")},
}


@pytest.mark.usefixtures("nothing_resident")
@pytest.mark.parametrize("form", FORMS)
def test_the_whole_way_is_as_in_memory(tmp_path: Path, form: str) -> None:
    """Parts, batches, standardization and duplicates: all equal those of the arrays in memory."""
    resident = {"tuple": (X, X[:, :2]), "dict": {"a": X, "b": X[:, 1:]}}.get(form, X)
    one = prepare((FORMS[form](tmp_path), Y), loss_name="cross_entropy", directory=tmp_path)
    other = prepare((resident, Y), loss_name="cross_entropy", directory=tmp_path)
    assert isinstance(one.train, DatasetRows)
    assert one.spec == other.spec
    assert one.split == other.split
    assert one.readings == other.readings
    assert len(one.readings) == 11
    from thalweg.data.feeder import Feeder

    for epoch in range(2):
        feeders = (Feeder(rows, batch_size=32, seed=3).epoch(epoch, skip=1) for rows in (one.train, other.train))
        for (x, y), (x2, y2) in zip(*feeders, strict=True):
            torch.testing.assert_close(x, x2, atol=0, rtol=0)
            assert torch.equal(y, y2)
    fitted, expected = Standardize().fit(one.train), Standardize().fit(other.train)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(fitted.state_dict()[name], value)
    assert fitted.form == expected.form


@pytest.mark.usefixtures("nothing_resident")
def test_training_is_as_in_memory(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    plan = Plan(optimizer=optimizers.SGD(lr=0.1), epochs=2, batch_size=32, probes=False)
    runs, accuracies = [], []
    for x in (mapped(tmp_path, X), X):
        experiment = Experiment(model, train=(x, Y), loss="cross_entropy", directory=tmp_path / "runs")
        runs.append(experiment.train(plan, listeners=()))
        accuracies.append(experiment.evaluate(runs[-1])["accuracy"].value)
    assert [run.plan.preprocessing for run in runs] == ["standardize", "standardize"]
    for one, other in zip(*(run.network.state_dict().values() for run in runs), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    assert accuracies[0] == accuracies[1]
    curves = [run.history["train.loss"] for run in runs]
    assert curves[0] == pytest.approx(curves[1], rel=1e-6)


@pytest.mark.usefixtures("nothing_resident")
def test_parts_refuse_the_rows_of_others_and_travel_to_workers(tmp_path: Path) -> None:
    data = prepare((mapped(tmp_path, X), Y), loss_name="cross_entropy", directory=tmp_path)
    assert isinstance(data.train, DatasetRows)
    other = data.validation.ids[:2]
    with pytest.raises(DataError, match=r"Rows .* are not among the 195 training rows"):
        data.train.dataset.read_rows(other)
    with pytest.raises(DataError, match="is not one of the 195 training rows"):
        data.train.dataset[int(other[0])]
    copy = pickle.loads(pickle.dumps(data.train.dataset))
    assert torch.equal(copy.read_rows(data.train.ids[:3]), torch.from_numpy(X[data.train.ids[:3]]))
    assert data.test is not None
    assert data.test.digest == digest_of(data.test.open("run"))


@pytest.mark.usefixtures("nothing_resident")
def test_what_is_not_finite_is_named_by_row(tmp_path: Path) -> None:
    bad = X.copy()
    bad[[17, 204], 3] = np.nan
    with pytest.raises(DataError, match=r"x has .* NaN values? in rows? (17|204).*column 3"):
        prepare((mapped(tmp_path, bad), Y), loss_name="cross_entropy", directory=tmp_path)


@pytest.mark.usefixtures("nothing_resident")
def test_lengths_that_differ(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="input 0 has 300, the target has 299"):
        prepare((mapped(tmp_path, X), Y[:-1]), loss_name="cross_entropy", directory=tmp_path)


MEMORY = """
import sys, numpy as np
from thalweg.data import stored
stored.MOST_RESIDENT = 2**20
from thalweg.data.feeder import Feeder
from thalweg.data.prepare import prepare
from thalweg.parts.preprocessing import Standardize
folder = sys.argv[1]
def most(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
def write(name, blocks):
    with open(folder + name, "wb") as file:
        shape = (500 * blocks, 1000)
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for seed in range(blocks):
            file.write(np.random.default_rng(seed).random((500, 1000), dtype=np.float32).tobytes())
write("/small.npy", 2)
write("/x.npy", 40)
y = np.arange(20_000) % 2
data = prepare((folder + "/small.npy", y[:1000]), loss_name="cross_entropy", directory=folder)
Standardize().fit(data.train)
before = most()  # kB; unlike ru_maxrss it does not begin with the parent's
data = prepare((folder + "/x.npy", y), loss_name="cross_entropy", directory=folder)
Standardize().fit(data.train)
for x, _ in Feeder(data.train, batch_size=100, seed=0).epoch(0): pass
print(most() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """80 MB on disk are read three times with less than half of it in memory (blocks of 8 MiB, and their copies)."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    grown = subprocess.run(command, check=True, capture_output=True, text=True, env=one_thread).stdout
    assert int(grown) < 40_000

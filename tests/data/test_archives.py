import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from thalweg.data.archives import as_pictures, read_npz, role_of
from thalweg.data.files import open_part
from thalweg.data.prepare import Prepared, prepare
from thalweg.data.rows import Rows
from thalweg.errors import DataError, UsageError

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
X = np.random.default_rng(0).integers(0, 256, (60, 5, 6)).astype(np.uint8)
Y = np.arange(60) % 3


def prepared(path: Path, **options: Any) -> Prepared:
    return prepare(path, loss_name="cross_entropy", directory=path.parent, **options)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("x_train", ("train", "x")),
        ("train_images", ("train", "x")),
        ("Train.Labels", ("train", "y")),
        ("y_val", ("validation", "y")),
        ("X", ("train", "x")),
        ("test-targets", ("test", "y")),
        ("x1", None),
        ("classes", None),
        ("x_train_test", None),
        ("image_labels", None),
    ],
)
def test_names_tell_part_and_role(name: str, role: tuple[str, str] | None) -> None:
    assert role_of(name) == role


def test_parts_in_a_file_are_used_as_given(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x_train=X[:40], y_train=Y[:40], x_test=X[40:], y_test=Y[40:], classes=["a", "b", "c"])
    data = prepared(path)
    assert data.split["given"] == ["test"]
    assert data.split["rows"] == {"train": 34, "validation": 6, "test": 20}
    assert data.split["notes"] == [
        "d.npz: 'classes' not used",
        "pictures [5, 6] are fed as [1, 5, 6]: one channel",
        "the test rows are those that d.npz gives",
    ]
    assert data.spec.shapes == ((1, 5, 6),)
    assert data.spec.dtypes == ("uint8",)
    assert data.test is not None
    test = data.test.open("run")
    assert isinstance(test, Rows)
    assert isinstance(test.inputs, torch.Tensor)
    assert np.array_equal(test.inputs[:, 0].numpy(), X[40:])


def test_the_users_own_part_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x_train=X[:40], y_train=Y[:40], x_test=X[40:], y_test=Y[40:])
    unused = "d.npz has test rows, which are not used, as test= says otherwise"
    assert unused in prepared(path, test=False).split["notes"]
    shared = prepared(path, test=0.25)
    assert unused in shared.split["notes"]
    assert shared.split["rows"] == {"train": 24, "validation": 6, "test": 10}
    given = prepared(path, test=(X[:6, None], Y[:6]))
    assert given.split["rows"]["test"] == 6


def test_a_file_for_a_part_gives_that_part(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x_train=X[:40], y_train=Y[:40], x_test=X[40:], y_test=Y[40:])
    assert len(open_part(path, "test", target=None)[0]) == 20
    with pytest.raises(DataError, match="train and test rows, but no validation rows"):
        open_part(path, "validation", target=None)
    np.savez(tmp_path / "one.npz", images=X, labels=Y)
    assert len(open_part(tmp_path / "one.npz", "validation", target=None)[1]) == 60
    np.savez(tmp_path / "test.npz", x_test=X, y_test=Y)
    with pytest.raises(DataError, match="has test rows, but none to train on"):
        prepared(tmp_path / "test.npz")


def test_pictures() -> None:
    assert as_pictures(X)[0].shape == (60, 1, 5, 6)
    colors, note = as_pictures(np.zeros((2, 8, 9, 3), np.uint8))
    assert colors.shape == (2, 3, 8, 9)
    assert "channels first" in note
    for other in (np.zeros((2, 3, 8, 9), np.uint8), np.zeros((2, 8, 9), np.float32), np.zeros((2, 4), np.uint8)):
        same, note = as_pictures(other)
        assert same.shape == other.shape
        assert note == ""


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=X, y=Y)
    whole = path.read_bytes()
    for content in (whole[:-50], whole[: len(whole) // 2], b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"d\.npz (cannot be read: .*|is none of NumPy's).*"):
            read_npz(path)
    damaged = bytearray(whole)
    with zipfile.ZipFile(tmp_path / "d2.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00short")
        archive.writestr("y.npy", bytes(damaged[:10]))
    with pytest.raises(DataError, match=r"d2\.npz"):
        read_npz(tmp_path / "d2.npz")
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=Y)
    with pytest.raises(DataError, match="pickled objects, which are not loaded because they may run any code"):
        read_npz(path)


@pytest.mark.parametrize(
    "entries",
    [
        {"pcm": X, "offsets": Y},
        {"x_train": X},
        {"x_train": X, "y_test": Y},
        {"x": X, "images": X, "y": Y},
        {},
    ],
)
def test_names_that_tell_nothing_are_listed(tmp_path: Path, entries: dict[str, Any]) -> None:
    np.savez(tmp_path / "d.npz", **entries)
    listed = ", ".join(map(repr, entries)) or "none"
    with pytest.raises(DataError, match=f"has the entries {listed}, of which inputs and targets cannot be told"):
        prepared(tmp_path / "d.npz")


def test_npy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X[:, 0].astype(np.float64))
    np.save(tmp_path / "y.npy", Y)
    data = prepare((tmp_path / "x.npy", str(tmp_path / "y.npy")), loss_name="cross_entropy", directory=tmp_path)
    assert isinstance(data.train, Rows)
    assert isinstance(data.train.inputs, torch.Tensor)
    assert data.train.inputs.dtype == torch.float32
    assert np.array_equal(data.train.inputs.numpy(), X[data.train.ids, 0])
    np.save(tmp_path / "table.npy", np.column_stack([X[:, 0], Y]))
    table = prepared(tmp_path / "table.npy", target=-1)
    assert table.columns == ("0", "1", "2", "3", "4", "5")
    assert table.task.kind == "multiclass"
    np.save(tmp_path / "named.npy", np.array([(0.5, 1), (1.5, 0)] * 20, dtype=[("a", "f4"), ("b", "i4")]))
    assert prepared(tmp_path / "named.npy", target="b").columns == ("a",)
    with pytest.raises(UsageError, match=r"holds one array, float64 \[60, 6\], without a target.*'x\.npy', 'y\.npy'"):
        prepared(tmp_path / "x.npy")
    with pytest.raises(UsageError, match=r"'x\.npz' in a pair \(x, y\) must be the path of an \.npy file"):
        prepare(("x.npz", Y), loss_name="cross_entropy", directory=tmp_path)
    with pytest.raises(UsageError, match=r"There is no file .*nothing\.npy"):
        prepare((tmp_path / "nothing.npy", Y), loss_name="cross_entropy", directory=tmp_path)
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:200])
    with pytest.raises(DataError, match=r"x\.npy cannot be read"):
        prepare((tmp_path / "x.npy", Y), loss_name="cross_entropy", directory=tmp_path)


def test_fashion_mnist(tmp_path: Path) -> None:
    path = SHARED / "fashion_mnist.npz"
    if not path.exists():
        pytest.skip("the data set fashion_mnist.npz is not beside the project (../shared/data)")
    data = prepare(path, loss_name="cross_entropy", directory=tmp_path)
    assert data.description == "51,000/9,000 rows, 10,000 sealed"
    assert data.spec.shapes == ((1, 28, 28),)
    assert data.task.classes == tuple(range(10))
    copies = {r.place: round(r.value * (r.count or 0)) for r in data.readings if r.name == "duplicates.share"}
    assert copies == {"validation": 0, "test": 0}  # as a set of the rows' bytes has it

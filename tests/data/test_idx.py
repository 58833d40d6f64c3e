import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from thalweg.data.idx import find_idx, read_idx
from thalweg.data.prepare import prepare
from thalweg.errors import DataError, UsageError

X = np.random.default_rng(0).integers(0, 256, (60, 4, 5)).astype(np.uint8)
Y = (np.arange(60) % 3).astype(np.uint8)


def idx(array: NDArray[np.generic], kind: int = 0x08) -> bytes:
    """As Yann LeCun's page describes the format."""
    header = struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(folder: Path, prefix: str = "", suffix: str = "", *, form: str = "{}-images-idx3-ubyte") -> None:
    folder.mkdir(exist_ok=True)
    for part, span in (("train", slice(0, 45)), ("t10k", slice(45, 60))):
        for what, array, rank in (("images", X, 3), ("labels", Y, 1)):
            name = prefix + form.format(part).replace("images", what).replace("idx3", f"idx{rank}") + suffix
            content = idx(array[span])
            (folder / name).write_bytes(gzip.compress(content) if suffix == ".gz" else content)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("form", ["{}-images-idx3-ubyte", "{}-images.idx3-ubyte"])
def test_a_folder_like_mnists(tmp_path: Path, suffix: str, form: str) -> None:
    write(tmp_path / "raw", suffix=suffix, form=form)
    data = prepare(tmp_path / "raw", loss_name="cross_entropy", directory=tmp_path)
    assert data.split["rows"] == {"train": 38, "validation": 7, "test": 15}
    assert data.split["given"] == ["test"]
    assert data.spec.shapes == ((1, 4, 5),)
    assert np.array_equal(data.train.inputs[:, 0].numpy(), X[data.train.ids])  # type: ignore[union-attr, index]
    assert data.task.classes == (0, 1, 2)


def test_a_prefix_chooses_among_several(tmp_path: Path) -> None:
    write(tmp_path, "emnist-letters-", ".gz")
    write(tmp_path, "emnist-digits-", ".gz")
    with pytest.raises(
        DataError, match=r"several data sets, whose files begin with 'emnist-digits-', 'emnist-letters-'"
    ):
        prepare(tmp_path, loss_name="cross_entropy", directory=tmp_path)
    data = prepare(tmp_path / "emnist-digits", loss_name="cross_entropy", directory=tmp_path)
    assert data.split["rows"]["test"] == 15


def test_one_file_stands_for_its_pair(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "other-")
    found = find_idx(tmp_path / "t10k-images-idx3-ubyte")
    assert {part: sorted(path.name for path in files.values()) for part, files in found.items()} == {
        "test": ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
    }
    data = prepare(
        tmp_path / "train-images-idx3-ubyte",
        test=tmp_path / "t10k-labels-idx1-ubyte",
        loss_name="cross_entropy",
        directory=tmp_path,
    )
    assert data.split["rows"] == {"train": 38, "validation": 7, "test": 15}


@pytest.mark.parametrize(("kind", "dtype"), [(0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")])
def test_all_types(tmp_path: Path, kind: int, dtype: str) -> None:
    array = np.random.default_rng(0).integers(-100, 100, (3, 2)).astype(dtype)
    (tmp_path / "x").write_bytes(idx(array, kind))
    assert np.array_equal(read_idx(tmp_path / "x"), array)


def test_damaged_files(tmp_path: Path) -> None:
    whole = idx(X)
    contents = {
        "short": (whole[:-7], r"short has 1,209 bytes, where its header, \[60, 4, 5\] of uint8, makes 1,216"),
        "long": (whole + b"\0", "long has 1,217 bytes"),
        "empty": (b"", "empty is no IDX file: it begins with nothing"),
        "page": (b"<html>", "it begins with 3c 68 74 6d, where 00 00, a type"),
        "header": (whole[:9], "no IDX file"),
        "cut.gz": (gzip.compress(whole)[:-20], r"cut\.gz cannot be unpacked"),
        "plain.gz": (whole, r"plain\.gz cannot be unpacked: Not a gzipped file"),
    }
    for name, (content, message) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_idx(tmp_path / name)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(Y[:44]))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte has 45 rows and .*train-labels-idx1-ubyte 44"):
        prepare(tmp_path, loss_name="cross_entropy", directory=tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"there is no file of the labels, 'train-labels-idx3-ubyte' or its like"):
        prepare(tmp_path, loss_name="cross_entropy", directory=tmp_path)
    with pytest.raises(UsageError, match=r"There is no file .*nowhere"):
        prepare(tmp_path / "nowhere", loss_name="cross_entropy", directory=tmp_path)

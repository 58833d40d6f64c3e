"""Paths: what a file or folder holds, and the parts of the data that it gives."""

from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from thalweg.data.archives import Parts, open_npy, read_npy, read_npz
from thalweg.data.columnar import from_polars
from thalweg.data.idx import find_idx, read_idx_parts
from thalweg.data.images import ImageFolder, ImageForm, read_image_parts
from thalweg.data.rows import Part
from thalweg.data.tables import SUFFIXES, TargetName, read_table
from thalweg.errors import DataError, UsageError


class Opened(NamedTuple):
    """What the user gave for the three parts, with paths opened, and what is worth telling about them."""

    train: Any
    validation: Any
    test: Any
    notes: list[str]


def open_files(train: Any, *, validation: Any, test: Any, target: TargetName) -> Opened:
    """Opens `train` where it is a path. Parts that it holds beside are taken where the user leaves them open.

    An own `validation` or `test`, a share or False come first; then the file's part is not used, and a note says so.
    """
    if not is_path(train):
        return Opened(train, validation, test, [])
    found = open_path(Path(train), target=target)
    if "train" not in found.data:
        raise DataError(f"{train} has {' and '.join(found.data)} rows, but none to train on.")
    parts, notes = {"validation": validation, "test": test}, list(found.notes)
    for part in found.data:
        if part == "train":
            continue
        if parts[part] is None:
            parts[part] = found.data[part]
            notes.append(f"the {part} rows are those that {Path(train).name} gives")
        else:
            notes.append(f"{Path(train).name} has {part} rows, which are not used, as {part}= says otherwise")
    return Opened(found.data["train"], parts["validation"], parts["test"], notes)


def open_part(data: Any, part: Part, *, target: TargetName, form: ImageForm | None = None) -> Any:
    """Validation or test data with a path opened: its rows of that part, or its only ones.

    Args:
        data: as the user gave them.
        part: which part is wanted.
        target: the target's column in a table.
        form: of the training images, which those of a folder are brought into.
    """
    if not is_path(data):
        return data
    path = Path(data)
    if form is not None and path.is_dir() and not find_idx(path):
        return ImageFolder(path, form)
    found = open_path(path, target=target).data
    if part not in found and len(found) > 1:
        raise DataError(f"{path} has {' and '.join(found)} rows, but no {part} rows. Pass (x, y) instead.")
    return found.get(part, next(iter(found.values())))


def open_path(path: Path, *, target: TargetName) -> Parts:
    """What is at a path: a table, arrays, images in folders, or MNIST's files.

    Raises:
        UsageError: where there is nothing, or nothing that can be read.
        DataError: where it is damaged.
    """
    name = path.name.lower()
    if name.endswith((*SUFFIXES, ".parquet")):
        return Parts({"train": read_table(path, target=target)})
    if path.exists() and name.endswith(".npy"):
        return Parts({"train": read_npy(path, target)})
    if path.is_file() and name.endswith(".npz"):
        return read_npz(path)
    if files := find_idx(path):
        return read_idx_parts(files)
    if path.is_dir():
        return read_image_parts(path)
    if not path.exists():
        raise UsageError(f"There is no file {path} (looked for in {Path.cwd()}).")
    raise UsageError(
        f"{path} is nothing that can be read here. A path must be a table ({', '.join((*SUFFIXES, '.parquet'))}), "
        "arrays (.npz, .npy), MNIST's files (a folder with train-images-idx3-ubyte and its like) or a folder of images "
        "with one subfolder per class. Read other forms yourself and pass arrays or a DataFrame."
    )


def load(value: Any) -> Any:
    """One value of a pair `(x, y)`, or several in a tuple or dict: paths of `.npy` files opened, polars converted."""
    if type(value) is tuple:
        return tuple(map(load, value))
    if isinstance(value, dict):
        return {name: load(item) for name, item in value.items()}
    if not is_path(value):
        return from_polars(value)
    path = Path(value)
    if path.suffix.lower() != ".npy":
        raise UsageError(f"{str(path)!r} in a pair (x, y) must be the path of an .npy file, or an array itself.")
    return open_npy(path)


def is_path(value: object) -> bool:
    return isinstance(value, str | PathLike)

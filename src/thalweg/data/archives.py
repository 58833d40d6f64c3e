"""NumPy's own files: `.npz` with inputs and targets by name, training and test in one file; `.npy` with one array."""

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.data.rows import Part
from thalweg.data.tables import TargetName
from thalweg.errors import DataError, UsageError

PART_WORDS: dict[str, Part] = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
}  # fmt: skip
ROLE_WORDS = {
    **dict.fromkeys(("x", "image", "images", "data", "input", "inputs", "features"), "x"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets"), "y"),
}
NAMES = "x_train, y_train, x_test, y_test (and x_val, y_val), x and y, or images and labels"


@dataclass(frozen=True, eq=False)
class Parts:
    """What a path holds: data for each part, in a form that `read_source` takes, and what is worth telling."""

    data: Mapping[Part, Any]
    notes: list[str] = field(default_factory=list)


def read_npz(path: Path) -> Parts:
    """The parts in an `.npz` file, each as `(x, y)`.

    Raises:
        DataError: for a damaged file, one with pickled objects, or names that do not tell inputs from targets.
    """
    try:
        # The file is opened here, because NumPy leaves it open where it cannot read it.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = list(archive.files)
            arrays = {name: archive[name] for name in names if role_of(name)}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise unreadable(path, error) from error
    found: dict[Part, dict[str, list[NDArray[Any]]]] = {}
    for name, array in arrays.items():
        part, role = role_of(name) or ("train", "x")
        found.setdefault(part, {}).setdefault(role, []).append(array)
    if not found or any(len(pair) != 2 or max(map(len, pair.values())) > 1 for pair in found.values()):
        raise DataError(
            f"The file {path} has the entries {', '.join(map(repr, names)) or 'none'}, of which inputs and targets "
            f"cannot be told. Name them {NAMES}; or load it yourself and pass (x, y)."
        )
    unused = [repr(name) for name in names if name not in arrays]
    notes = [f"{path.name}: {', '.join(unused)} not used"] if unused else []
    parts: dict[Part, Any] = {}
    for part, pair in found.items():
        x, note = as_pictures(pair["x"][0])
        parts[part] = x, pair["y"][0]
        notes += [note] if note and note not in notes else []
    return Parts(parts, notes)


def role_of(name: str) -> tuple[Part, str] | None:
    """Part and role of an entry by its name; None where it has none.

    >>> role_of("x_train"), role_of("test_labels"), role_of("X"), role_of("offsets")
    (('train', 'x'), ('test', 'y'), ('train', 'x'), None)
    """
    words = re.findall(r"[a-z0-9]+", name.lower())
    parts = [PART_WORDS[word] for word in words if word in PART_WORDS]
    roles = [ROLE_WORDS[word] for word in words if word in ROLE_WORDS]
    if len(roles) != 1 or len(parts) > 1 or len(words) != len(parts) + 1:
        return None
    return (parts or ["train"])[0], roles[0]


def open_npy(path: Path) -> NDArray[Any]:
    """The array in an `.npy` file, mapped: who needs it in memory copies it.

    Raises:
        DataError: for a damaged file, or one with pickled objects.
    """
    if not path.exists():
        raise UsageError(f"There is no file {path} (looked for in {Path.cwd()}).")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise unreadable(path, error) from error
    return array


def read_npy(path: Path, target: TargetName) -> Any:
    """A table in an `.npy` file: columns by name where it is structured, else by place."""
    import pandas as pd

    array = open_npy(path)
    if array.ndim != (1 if array.dtype.names else 2) or target is None:
        raise UsageError(
            f"{path.name} holds one array, {array.dtype.name} {list(array.shape)}, without a target. Pass both, "
            "train=('x.npy', 'y.npy'); or for a table target=..., the place of its column (-1 is the last)."
        )
    return pd.DataFrame(array if array.dtype.names else np.asarray(array))


def unreadable(path: Path, error: Exception) -> DataError:
    if "allow_pickle" in str(error) and path.stat().st_size:
        return DataError(
            f"The file {path} is none of NumPy's, or holds pickled objects, which are not loaded because they may run "
            "any code. Store arrays of numbers or of text (dtype 'U')."
        )
    return DataError(
        f"The file {path} cannot be read: {str(error).strip().rstrip('.') or type(error).__name__}. It is damaged or "
        "cut off; copy or download it again."
    )


def as_pictures(x: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Bytes `[N, H, W]` with a dimension for the channel, `[N, H, W, C]` with the channels first; and what was done."""
    if x.dtype == np.uint8 and x.ndim == 3:
        return x[:, None], f"pictures {list(x.shape[1:])} are fed as [1, {x.shape[1]}, {x.shape[2]}]: one channel"
    if x.dtype == np.uint8 and x.ndim == 4 and x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        shape = [x.shape[3], *x.shape[1:3]]
        return x.transpose(0, 3, 1, 2), f"pictures {list(x.shape[1:])} are fed as {shape}: channels first"
    return x, ""

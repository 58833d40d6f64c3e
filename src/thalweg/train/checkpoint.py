"""Checkpoints: safetensors and JSON, never pickle; written whole or not at all; verified when read.

A save writes `<name>-<number>.safetensors`, then replaces `<name>.json`, which names that file and holds its SHA-256.
A process killed at any moment leaves the manifest of the last whole save and the file it names.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from thalweg.errors import StoreError
from thalweg.train.tensor_file import size_of, write_tensors

FORMAT = 1


def save_checkpoint(folder: Path, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes tensors and JSON facts as the new checkpoint `name` and then removes the former one.

    The tensors go to the disk one by one; of one that is not contiguous, or on a device, a copy is made meanwhile.

    Raises:
        StoreError: when the disk refuses; the former checkpoint is untouched.
    """
    manifest = folder / f"{name}.json"
    file = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        former = read_manifest(manifest) if manifest.is_file() else {}
        sweep(folder, name, keep=former.get("file"))
        number = int(former.get("number", 0)) + 1
        file = folder / f"{name}-{number}.safetensors"
        with replacing(file) as stream:
            sha256 = write_tensors(stream, tensors)
        entry = {"format": FORMAT, "number": number, "file": file.name, "sha256": sha256, "facts": dict(facts)}
        with replacing(manifest) as stream:
            stream.write(json.dumps(entry).encode())
    except OSError as error:
        if file is not None:
            file.unlink(missing_ok=True)
        raise refused(folder, name, size_of(tensors), error) from error
    sweep(folder, name, keep=file.name)


def load_checkpoint(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a checkpoint. The tensors are mapped: read from the file when they are used.

    Raises:
        StoreError: when it is missing, incomplete or damaged; the message says which file and what to do.
    """
    manifest = folder / f"{name}.json"
    if not manifest.is_file():
        raise StoreError(
            f"There is no checkpoint {name!r} in {folder}: {manifest.name} is missing. Restore it from a copy of the "
            "run; where there never was one, the run was stopped before its first save."
        )
    entry = read_manifest(manifest)
    file = folder / str(entry["file"])
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(
            f"The checkpoint {file} cannot be read ({error}). Restore it from a copy of the run."
        ) from error
    if found != entry["sha256"]:
        raise StoreError(
            f"The checkpoint {file} is damaged: its SHA-256 is {found[:12]}…, the manifest says "
            f"{entry['sha256'][:12]}…. Restore the file from a copy of the run, or train again."
        )
    try:
        return load_file(file), dict(entry["facts"])
    except SafetensorError as error:
        raise StoreError(f"The checkpoint {file} is no safetensors file ({error}).") from error


def read_manifest(manifest: Path) -> dict[str, Any]:
    """The manifest of a checkpoint. Raises `StoreError` when it is damaged or of another version."""
    try:
        entry = json.loads(manifest.read_bytes())
        if entry["format"] == FORMAT and {"number", "file", "sha256", "facts"} <= entry.keys():
            return dict(entry)
        raise KeyError(f"format {entry['format']!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"The checkpoint manifest {manifest} cannot be used ({error}). It was damaged or written by another "
            "version; restore it from a copy of the run."
        ) from error


def sweep(folder: Path, name: str, *, keep: str | None) -> None:
    """Removes all files of a checkpoint but one: the former one, and what a save that was killed has left."""
    for pattern in (f"{name}-*.safetensors", f".{name}-*.safetensors.part", f".{name}.json.part"):
        for old in folder.glob(pattern):
            if old.name != keep:
                with suppress(PermissionError):  # Windows keeps a file that is still mapped; the next save removes it
                    old.unlink(missing_ok=True)


def refused(folder: Path, name: str, needed: int, error: OSError) -> StoreError:
    free = shutil.disk_usage(folder).free if folder.is_dir() else 0
    return StoreError(
        f"The checkpoint {name!r} could not be written to {folder} ({error.strerror or error}): it needs "
        f"{needed / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free on the disk. The checkpoint before it is intact; make "
        "room there and resume the run."
    )


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream to a temporary name that is synced and renamed at the end: `path` holds the old content or the new."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

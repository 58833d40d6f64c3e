"""Checkpoints: safetensors and JSON, never pickle; written whole or not at all; verified when read.

A save writes `<name>-<number>.safetensors`, then replaces `<name>.json`, which names that file and holds its SHA-256.
A process killed at any moment leaves the manifest of the last whole save and the file it names.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from thalweg.errors import StoreError

FORMAT = 1
CONTIGUOUS = torch.contiguous_format


def save_checkpoint(folder: Path, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes tensors and JSON facts as the new checkpoint `name` and then removes the former one.

    Raises:
        StoreError: when the disk refuses; the former checkpoint is untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / f"{name}.json"
    former = read_manifest(manifest) if manifest.is_file() else {}
    number = int(former.get("number", 0)) + 1
    file = folder / f"{name}-{number}.safetensors"
    # A copy each, because safetensors refuses tensors that share memory.
    content = save({key: value.detach().cpu().clone(memory_format=CONTIGUOUS) for key, value in tensors.items()})
    entry = {
        "format": FORMAT,
        "number": number,
        "file": file.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "facts": dict(facts),
    }
    try:
        write_atomically(file, content)
        write_atomically(manifest, json.dumps(entry).encode())
    except OSError as error:
        file.unlink(missing_ok=True)
        raise StoreError(
            f"The checkpoint could not be written to {folder} ({error}). The checkpoint before it is intact; "
            "free some space and resume the run."
        ) from error
    for old in folder.glob(f"{name}-*.safetensors"):
        if old != file:
            old.unlink(missing_ok=True)


def load_checkpoint(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a checkpoint.

    Raises:
        StoreError: when it is missing, incomplete or damaged; the message says which file and what to do.
    """
    manifest = folder / f"{name}.json"
    if not manifest.is_file():
        raise StoreError(f"There is no checkpoint {name!r} in {folder}; the run was stopped before its first save.")
    entry = read_manifest(manifest)
    file = folder / str(entry["file"])
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StoreError(
            f"The checkpoint {file} cannot be read ({error}). Restore it from a copy of the run."
        ) from error
    if (found := hashlib.sha256(content).hexdigest()) != entry["sha256"]:
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
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"The checkpoint manifest {manifest} cannot be used ({error}). It was damaged or written by another "
            "version; restore it from a copy of the run."
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Writes to a temporary name, syncs, renames: `path` holds the old content or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

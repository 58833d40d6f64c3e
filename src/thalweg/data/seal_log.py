"""The log of openings: JSON lines, each hashed together with the hash of the line before it.

An entry is `{digest, run, reason, time, number, previous, hash}`: `number` counts from 1 over the whole log, `time` is
ISO 8601 in UTC, and `hash` is SHA-256 of the entry's other fields as JSON with sorted keys. An entry that is changed,
removed or added later breaks the chain at its place. Beside the log, `<log>.head` keeps the number and the hash of the
last entry, so that entries cut off at the end, or a whole log that was deleted, are missed too.

A process that is killed while it writes leaves half a line, which the head does not know: the rows were not handed out,
the earlier entries count as before, and the next opening writes over it. Killed between log and head, it leaves one
entry more than the head knows, which counts.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from thalweg.errors import StoreError

Entry = dict[str, Any]
FIELDS = {"digest", "run", "reason", "time", "number", "previous", "hash"}
START = "0" * 64  # what the first entry has as `previous`


def append(log: Path, *, digest: str, run: str, reason: str) -> Entry:
    """Verifies the log, then adds an entry and returns once it is on disk; other processes wait meanwhile.

    Raises:
        StoreError: where the log was tampered with or cannot be written.
    """
    _refuse_removed(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    with _locked(log, writing=True) as file:
        entries, end = _read(file, log)
        entry = {
            "digest": digest,
            "run": run,
            "reason": reason,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "number": len(entries) + 1,
            "previous": entries[-1]["hash"] if entries else START,
        }
        entry["hash"] = _hash(entry)
        file.truncate(end)  # half a line of a process that was killed
        file.seek(end)
        file.write(json.dumps(entry).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
        _write_head(log, entry)
    return entry


def verify(log: Path) -> list[Entry]:
    """The entries of the log, oldest first, once the whole chain holds.

    Raises:
        StoreError: naming the first entry that was changed, removed or added.

    >>> from tempfile import mkdtemp
    >>> log = Path(mkdtemp()) / "seal.jsonl"
    >>> for run in "abc":
    ...     _ = append(log, digest="d1", run=run, reason="evaluate")
    >>> [entry["run"] for entry in verify(log)]
    ['a', 'b', 'c']
    >>> _ = log.write_text(log.read_text().replace('"run": "b"', '"run": "x"'))
    >>> verify(log)
    Traceback (most recent call last):
    thalweg.errors.StoreError: The log of openings ...seal.jsonl was tampered with: entry 2 was changed. ...
    """
    _refuse_removed(log)
    if not log.exists():
        return []
    with _locked(log, writing=False) as file:
        return _read(file, log)[0]


@contextmanager
def _locked(log: Path, *, writing: bool) -> Iterator[BinaryIO]:
    """The log, opened and locked: one writer or several readers. The lock ends with the file, or with the process."""
    try:
        flags = os.O_RDWR | os.O_CREAT if writing else os.O_RDONLY
        with os.fdopen(os.open(log, flags, 0o644), "r+b" if writing else "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX if writing else fcntl.LOCK_SH)
            yield file
    except OSError as error:
        raise StoreError(
            f"The log of openings {log} cannot be used ({error}). The test rows stay sealed; make the file accessible."
        ) from error


def _refuse_removed(log: Path) -> None:
    if not log.exists() and _head_path(log).exists():
        raise _tampered(log, "entry 1 was removed, and all others with it")


def _read(file: BinaryIO, log: Path) -> tuple[list[Entry], int]:
    """The verified entries, and the position after the last whole line."""
    text = file.read()
    end = text.rfind(b"\n") + 1
    entries: list[Entry] = []
    for number, line in enumerate(text[:end].splitlines(), start=1):
        entries.append(_check(line, number, entries[-1]["hash"] if entries else START, log))
    _check_head(entries, log)
    return entries, end


def _check(line: bytes, number: int, previous: str, log: Path) -> Entry:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise _tampered(log, f"entry {number} was changed") from error
    if not isinstance(entry, dict) or set(entry) != FIELDS or entry["hash"] != _hash(entry):
        raise _tampered(log, f"entry {number} was changed")
    if entry["number"] > number:
        raise _tampered(log, f"entry {number} was removed")
    if entry["number"] < number:
        raise _tampered(log, f"entry {number - 1} was added")
    if entry["previous"] != previous:  # the one before carries a new hash, or was put there
        raise _tampered(log, f"entry {max(number - 1, 1)} was changed")
    return entry


def _check_head(entries: list[Entry], log: Path) -> None:
    if not _head_path(log).exists():
        if len(entries) > 1:
            raise _tampered(log, f"its head {_head_path(log).name} was removed")
        return
    try:
        head = json.loads(_head_path(log).read_bytes())
        known, last = int(head["number"]), head["hash"]
    except (ValueError, TypeError, KeyError) as error:
        raise _tampered(log, f"its head {_head_path(log).name} was changed") from error
    if known < 1:
        raise _tampered(log, f"its head {_head_path(log).name} was changed")
    if known > len(entries):
        raise _tampered(log, f"entry {len(entries) + 1} was removed")
    if entries[known - 1]["hash"] != last:
        raise _tampered(log, f"entry {known} was changed")
    if len(entries) > known + 1:
        raise _tampered(log, f"entry {known + 1} was added")


def _write_head(log: Path, entry: Entry) -> None:
    new = log.with_name(log.name + ".head.new")
    with new.open("w") as file:
        json.dump({"number": entry["number"], "hash": entry["hash"]}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(_head_path(log))


def _head_path(log: Path) -> Path:
    return log.with_name(log.name + ".head")


def _hash(entry: Entry) -> str:
    content = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _tampered(log: Path, what: str) -> StoreError:
    return StoreError(
        f"The log of openings {log} was tampered with: {what}. The number of openings is no longer known. "
        f"Restore the file from a copy, or move it and {_head_path(log).name} away to begin a new count, and say so."
    )

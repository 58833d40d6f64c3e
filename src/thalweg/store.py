"""The store of one run: an SQLite file beside its checkpoints, append-only, readable by others while the run goes on.

One file per run, so that a run's folder can be copied and opened elsewhere. Tables: `facts` (JSON by key), `readings`,
`findings`. This file needs no torch: `thalweg runs` and the report read it alone.
"""

import json
import os
import shutil
import sqlite3
import tempfile
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from thalweg.errors import StoreError
from thalweg.findings import Finding
from thalweg.lock import in_use
from thalweg.readings import Reading, Readings

FORMAT = 1
FILE = "run.sqlite"
LAST = "\U0010ffff"  # sorts after every other character
SCHEMA = (
    "CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE readings (id INTEGER PRIMARY KEY, name TEXT NOT NULL, place TEXT NOT NULL, step INTEGER,"
    " value TEXT NOT NULL, low REAL, high REAL, count INTEGER, note TEXT NOT NULL)",
    "CREATE INDEX readings_by_name ON readings (name, place, step)",
    "CREATE TABLE findings (id INTEGER PRIMARY KEY, value TEXT NOT NULL)",
    f"INSERT INTO facts VALUES ('format', '{FORMAT}')",
)


class Store:
    """The readings, findings and facts of one run.

    Other processes may read while the run writes (SQLite's WAL). The connection belongs to the process that opened it;
    a forked child opens its own. The loop writes in batches, at most once a second; a commit waits for no disk, so that
    a killed process loses nothing, and a power cut at most the last seconds. A folder that cannot be written is read.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._open: tuple[int, sqlite3.Connection] | None = None
        if not exists(path):
            if not create:
                raise StoreError(
                    f"There is no run at {path.parent}: {path.name} is missing. `thalweg runs` lists them."
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            self._create()
        elif (found := self.get("format")) != FORMAT:
            raise StoreError(
                f"The store {path} has format {found!r}; this version reads format {FORMAT}. Update thalweg to open it."
            )

    def _create(self) -> None:
        """All tables in one transaction: a process killed here leaves an empty file or a whole store."""
        try:
            with self._connection() as connection:
                connection.execute("BEGIN")
                for statement in SCHEMA:
                    connection.execute(statement)
        except sqlite3.DatabaseError as error:
            raise self._unwritable(error) from error

    def _connection(self) -> sqlite3.Connection:
        if self._open is None or self._open[0] != os.getpid():
            try:
                connection = self._connected()
            except sqlite3.DatabaseError as error:
                raise self._damaged(error) from error
            weakref.finalize(self, connection.close)
            self._open = os.getpid(), connection
        return self._open[1]

    def _connected(self) -> sqlite3.Connection:
        if not (may_write(self.path.parent) and (may_write(self.path) or not self.path.exists())):
            return self._read_only()
        new = not self.path.exists()
        # Within a process SQLite serializes threads itself.
        connection = sqlite3.connect(self.path, timeout=30, check_same_thread=False)
        try:
            if new:  # an empty store is worth no wait for the disk, which takes 20 ms
                connection.execute("PRAGMA synchronous=OFF")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    def _read_only(self) -> sqlite3.Connection:
        """What stands in a write-ahead log beside the file, where a run was killed, is read too."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if self.path.with_name(f"{self.path.name}-shm").exists():
            return sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        if not log.exists() or not log.stat().st_size:
            return sqlite3.connect(f"{self.path.absolute().as_uri()}?immutable=1", uri=True, check_same_thread=False)
        # SQLite needs a third file to read a log, and may not write it here.
        folder = Path(tempfile.mkdtemp(prefix="thalweg-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        for file in (self.path, log):
            shutil.copyfile(file, folder / file.name)
        connection = sqlite3.connect(folder / self.path.name, check_same_thread=False)
        connection.execute("PRAGMA query_only=ON")
        return connection

    def close(self) -> None:
        """Closes the connection, so that everything is in the one file; the next use opens it again."""
        if self._open is not None and self._open[0] == os.getpid():
            self._open[1].close()
        self._open = None

    def _damaged(self, error: sqlite3.DatabaseError | OSError) -> StoreError:
        if "no such table" in str(error):
            return StoreError(
                f"The store {self.path} is empty: the run was stopped while it was being made, before its first step. "
                "Nothing is lost; delete the folder."
            )
        if "unable to open" in str(error) or isinstance(error, OSError):
            return StoreError(
                f"The store {self.path} cannot be opened ({error}); you need the right to read its folder."
            )
        return StoreError(
            f"The store {self.path} cannot be read ({error}); it is no SQLite file or was damaged. "
            "The checkpoints beside it are separate files and may be intact; restore the store from a copy."
        )

    def _unwritable(self, error: sqlite3.DatabaseError) -> StoreError:
        if not isinstance(error, sqlite3.OperationalError):
            return self._damaged(error)
        free = shutil.disk_usage(self.path.parent).free
        return StoreError(
            f"The store {self.path} cannot be written ({error}; {free / 1e6:,.1f} MB are free on the disk). What was "
            "written before is safe; make room or make the folder writable, and resume the run."
        )

    def _rows(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection().execute(query, tuple(values)).fetchall()
        except (sqlite3.DatabaseError, OSError) as error:
            raise self._damaged(error) from error

    def _write(self, query: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            with self._connection() as connection:
                connection.executemany(query, rows)
        except sqlite3.DatabaseError as error:
            raise self._unwritable(error) from error

    def put(self, facts: dict[str, Any]) -> None:
        """Sets facts: JSON values by key."""
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def get(self, key: str, default: Any = None) -> Any:
        """A fact. The status of a run that says it is running, though its process has died, is "interrupted"."""
        found = self._rows("SELECT value FROM facts WHERE key = ?", (key,))
        value = json.loads(found[0][0]) if found else default
        if key == "status" and value == "running" and not in_use(self.path.parent):
            return "interrupted"
        return value

    def add_readings(self, readings: Iterable[Reading]) -> None:
        # The value is kept as text, because SQLite turns NaN into NULL, and NaN is never dropped from a log.
        rows = [(r.name, r.place, r.step, repr(float(r.value)), r.low, r.high, r.count, r.note) for r in readings]
        columns = "name, place, step, value, low, high, count, note"
        self._write(f"INSERT INTO readings ({columns}) VALUES (?,?,?,?,?,?,?,?)", rows)

    def readings(self, *prefixes: str) -> Readings:
        """All readings, or those alone whose names begin with one of the prefixes, in the order of writing."""
        query = "SELECT name, value, place, step, low, high, count, note FROM readings"
        where = " OR ".join(["name BETWEEN ? AND ?"] * len(prefixes)) or "TRUE"  # what LIKE asks, by the index
        values = [end for prefix in prefixes for end in (prefix, prefix + LAST)]
        rows = self._rows(f"{query} WHERE {where} ORDER BY id", values)
        return Readings(Reading(row[0], float(row[1]), *row[2:]) for row in rows)

    def last_reading(self) -> int:
        """The number of the newest reading; 0 where there is none. Numbers grow whatever the clock does."""
        return int(self._rows("SELECT coalesce(max(id), 0) FROM readings")[0][0])

    def forget_after(self, reading: int) -> None:
        """Drops the readings after that number: a resumed run writes them again."""
        self._write("DELETE FROM readings WHERE id > ?", [(reading,)])

    def forget_steps(self, step: int) -> None:
        """Drops the readings of later steps: a training that goes on from there writes them again."""
        self._write("DELETE FROM readings WHERE step > ?", [(step,)])

    def put_findings(self, findings: Iterable[Finding]) -> None:
        """Sets the findings; those of an earlier end of the run, before it was resumed, give way."""
        self._write("DELETE FROM findings WHERE id >= ?", [(0,)])
        self._write("INSERT INTO findings (value) VALUES (?)", [(json.dumps(f.to_json()),) for f in findings])

    def put_diagnosis(self, findings: Iterable[Finding], diagnosis: dict[str, Any]) -> None:
        """Sets the findings, the verdict and all that the diagnosis tells besides."""
        self.put_findings(findings)
        self.put({"verdict": diagnosis["verdict"], "diagnosis": diagnosis})

    def findings(self) -> list[Finding]:
        return [Finding.from_json(json.loads(row[0])) for row in self._rows("SELECT value FROM findings ORDER BY id")]


class Writer:
    """Collects readings and writes them in batches, at most once a second; `flush` writes the rest."""

    def __init__(self, store: Store, *, seconds: float = 1.0) -> None:
        self.store, self.seconds = store, seconds
        self._waiting: list[Reading] = []
        self._written = time.monotonic()

    def add(self, readings: Iterable[Reading]) -> None:
        self._waiting.extend(readings)
        if time.monotonic() - self._written >= self.seconds:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            self.store.add_readings(self._waiting)
            self._waiting = []
        self._written = time.monotonic()

    def position(self) -> int:
        """Where the readings stand, everything written: what a checkpoint needs to go back to it."""
        self.flush()
        return self.store.last_reading()

    def rewind(self, position: int) -> None:
        """Drops what was recorded after `position`."""
        self._waiting = []
        self.store.forget_after(position)


def exists(path: Path) -> bool:
    """Whether there is a file. Raises `StoreError` where one may not even look."""
    try:
        return path.is_file()
    except OSError as error:
        raise StoreError(
            f"The run {path.parent} cannot be opened ({error.strerror}); you need the right to read the folder."
        ) from error


def may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)

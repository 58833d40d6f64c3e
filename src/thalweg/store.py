"""The store of one run: an SQLite file beside its checkpoints, append-only, readable by others while the run goes on.

One file per run, so that a run's folder can be copied and opened elsewhere. Tables: `facts` (JSON by key), `readings`,
`findings`. This file needs no torch: `thalweg runs` and the report read it alone.
"""

import json
import os
import sqlite3
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from thalweg.errors import StoreError
from thalweg.findings import Finding
from thalweg.readings import Reading, Readings

FORMAT = 1
FILE = "run.sqlite"
SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS readings (id INTEGER PRIMARY KEY, name TEXT NOT NULL, place TEXT NOT NULL, step INTEGER,
    value TEXT NOT NULL, low REAL, high REAL, count INTEGER, note TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS readings_by_name ON readings (name, place, step);
CREATE TABLE IF NOT EXISTS findings (id INTEGER PRIMARY KEY, value TEXT NOT NULL);
"""


class Store:
    """The readings, findings and facts of one run.

    Other processes may read while the run writes (SQLite's WAL). The connection belongs to the process that opened it;
    a forked child opens its own. The loop writes in batches, at most once a second; a commit waits for no disk, so that
    a killed process loses nothing, and a power cut at most the last seconds.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._open: tuple[int, sqlite3.Connection] | None = None
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._connection() as connection:
                connection.executescript(SCHEMA)
            self.put({"format": FORMAT})
        elif not path.is_file():
            raise StoreError(f"There is no run at {path.parent}: {path.name} is missing. `thalweg runs` lists them.")
        elif (found := self.get("format")) != FORMAT:
            raise StoreError(
                f"The store {path} has format {found!r}; this version reads format {FORMAT}. Update thalweg to open it."
            )

    def _connection(self) -> sqlite3.Connection:
        if self._open is None or self._open[0] != os.getpid():
            # Within a process SQLite serializes threads itself.
            connection = sqlite3.connect(self.path, timeout=30, check_same_thread=False)
            weakref.finalize(self, connection.close)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
            except sqlite3.DatabaseError as error:
                raise self._damaged(error) from error
            self._open = os.getpid(), connection
        return self._open[1]

    def close(self) -> None:
        """Closes the connection, so that everything is in the one file; the next use opens it again."""
        if self._open is not None and self._open[0] == os.getpid():
            self._open[1].close()
        self._open = None

    def _damaged(self, error: sqlite3.DatabaseError) -> StoreError:
        return StoreError(
            f"The store {self.path} cannot be read ({error}); it is no SQLite file or was damaged. "
            "The checkpoints beside it are separate files and may be intact; restore the store from a copy."
        )

    def _rows(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection().execute(query, tuple(values)).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _write(self, query: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            with self._connection() as connection:
                connection.executemany(query, rows)
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"The store {self.path} cannot be written ({error}). What was written before is safe; "
                "free some space or make the folder writable, and resume the run."
            ) from error

    def put(self, facts: dict[str, Any]) -> None:
        """Sets facts: JSON values by key."""
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def get(self, key: str, default: Any = None) -> Any:
        found = self._rows("SELECT value FROM facts WHERE key = ?", (key,))
        return json.loads(found[0][0]) if found else default

    def add_readings(self, readings: Iterable[Reading]) -> None:
        # The value is kept as text, because SQLite turns NaN into NULL, and NaN is never dropped from a log.
        rows = [(r.name, r.place, r.step, repr(float(r.value)), r.low, r.high, r.count, r.note) for r in readings]
        columns = "name, place, step, value, low, high, count, note"
        self._write(f"INSERT INTO readings ({columns}) VALUES (?,?,?,?,?,?,?,?)", rows)

    def readings(self, name: str | None = None) -> Readings:
        """All readings, or those of one name, in the order of writing."""
        query = "SELECT name, value, place, step, low, high, count, note FROM readings"
        where, values = (" WHERE name = ?", (name,)) if name else ("", ())
        rows = self._rows(f"{query}{where} ORDER BY id", values)
        return Readings(Reading(row[0], float(row[1]), *row[2:]) for row in rows)

    def forget_after(self, step: int) -> None:
        """Drops what was recorded after `step`: a resumed run writes it again."""
        self._write("DELETE FROM readings WHERE step > ?", [(step,)])

    def put_findings(self, findings: Iterable[Finding]) -> None:
        """Sets the findings; those of an earlier end of the run, before it was resumed, give way."""
        self._write("DELETE FROM findings WHERE id >= ?", [(0,)])
        self._write("INSERT INTO findings (value) VALUES (?)", [(json.dumps(f.to_json()),) for f in findings])

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

"""The store of one run: an SQLite file beside its checkpoints, append-only, readable by others while the run goes on.

One file per run, so that a run's folder can be copied and opened elsewhere. Tables: `facts` (JSON by key), `readings`,
`findings`. This file needs no torch: `thalweg runs` and the report read it alone.
"""

import json
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
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

    A connection is opened per call and closed again, so that a store may be used across a fork and from several
    processes; the loop writes in batches, at most once a second.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection, connection:
                connection.executescript(SCHEMA)
            self.put({"format": FORMAT})
        elif not path.is_file():
            raise StoreError(
                f"There is no run at {path.parent}: {path.name} is missing. `thalweg runs` lists the runs."
            )
        elif (found := self.get("format")) != FORMAT:
            raise StoreError(
                f"The store {path} has format {found!r}; this version reads format {FORMAT}. Update thalweg to open it."
            )

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=30)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.DatabaseError as error:
            connection.close()
            raise StoreError(
                f"The store {self.path} cannot be read ({error}); it is no SQLite file or was damaged. "
                "The checkpoints beside it are separate files and may be intact; restore the store from a copy."
            ) from error
        return connection

    def _rows(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        with closing(self._connect()) as connection:
            try:
                return connection.execute(query, tuple(values)).fetchall()
            except sqlite3.DatabaseError as error:
                raise StoreError(f"The store {self.path} cannot be read ({error}).") from error

    def put(self, facts: dict[str, Any]) -> None:
        """Sets facts: JSON values by key."""
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        with closing(self._connect()) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def get(self, key: str, default: Any = None) -> Any:
        found = self._rows("SELECT value FROM facts WHERE key = ?", (key,))
        return json.loads(found[0][0]) if found else default

    def add_readings(self, readings: Iterable[Reading]) -> None:
        # The value is kept as text, because SQLite turns NaN into NULL, and NaN is never dropped from a log.
        rows = [(r.name, r.place, r.step, repr(float(r.value)), r.low, r.high, r.count, r.note) for r in readings]
        with closing(self._connect()) as connection, connection:
            connection.executemany(
                "INSERT INTO readings (name, place, step, value, low, high, count, note) VALUES (?,?,?,?,?,?,?,?)", rows
            )

    def readings(self, name: str | None = None) -> Readings:
        """All readings, or those of one name, in the order of writing."""
        query = "SELECT name, value, place, step, low, high, count, note FROM readings"
        rows = (
            self._rows(f"{query} WHERE name = ? ORDER BY id", (name,)) if name else self._rows(f"{query} ORDER BY id")
        )
        return Readings(Reading(row[0], float(row[1]), *row[2:]) for row in rows)

    def forget_after(self, step: int) -> None:
        """Drops what was recorded after `step`: a resumed run writes it again."""
        with closing(self._connect()) as connection, connection:
            connection.execute("DELETE FROM readings WHERE step > ?", (step,))

    def add_findings(self, findings: Iterable[Finding]) -> None:
        rows = [(json.dumps(finding.to_json()),) for finding in findings]
        with closing(self._connect()) as connection, connection:
            connection.executemany("INSERT INTO findings (value) VALUES (?)", rows)

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

"""The store: what goes in comes out, from other processes too, and damage is named."""

import math
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from thalweg.errors import StoreError
from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Reading
from thalweg.store import Store, Writer

FINDING = Finding(
    "ACT03",
    "38 % of units are dead",
    "warning",
    "proven",
    "dead_units",
    "no input reaches them",
    place="layer2.relu",
    step=1840,
    evidence=(Evidence("never active on 4,096 inputs", "195 / 512 units", "limit 10 %"),),
    excluded=(Excluded("saturation", "the units are ReLU"),),
    remedies=(Remedy("clip gradients", "safe", {"clip_norm": 1.0}),),
)
READINGS = [
    Reading("loss", math.nan, step=3),
    Reading("loss", 0.1 + 0.2, "layer", 4, 0.2, 0.4, 64, "a note"),
    Reading("loss", -math.inf),
    Reading("norm", 5e-324, step=2**40),
]


def same(a: Reading, b: Reading) -> bool:
    return repr(a) == repr(b)


def test_readings_facts_and_findings_come_back_exactly(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.sqlite", create=True)
    store.add_readings(READINGS)
    store.put({"plan": {"epochs": 3, "name": "größe"}, "seconds": 1.5})
    store.put({"seconds": 2.5})
    store.put_findings([FINDING, FINDING])
    store.put_findings([FINDING])
    reopened = Store(tmp_path / "run.sqlite")
    assert all(map(same, [*reopened.readings("loss"), *reopened.readings("norm")], READINGS))
    assert reopened.get("plan") == {"epochs": 3, "name": "größe"}
    assert reopened.get("seconds") == 2.5
    assert reopened.get("nothing", 7) == 7
    assert reopened.findings() == [FINDING]


def write_in_child(path: Path) -> None:
    Store(path).add_readings([Reading("child", 1.0)])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_reads_and_writes_while_the_store_is_open(tmp_path: Path, method: str) -> None:
    store = Store(tmp_path / "run.sqlite", create=True)
    store.add_readings(READINGS)
    process = multiprocessing.get_context(method).Process(target=write_in_child, args=(store.path,))
    process.start()
    process.join()
    assert process.exitcode == 0
    store.add_readings([Reading("parent", 1.0)])
    assert "child" in store.readings()
    assert len(Store(store.path).readings()) == 6


def test_a_resumed_run_forgets_what_it_will_write_again(tmp_path: Path) -> None:
    """By the number of the reading, not by its step: one taken during step 5 has the step of the checkpoint before."""
    store = Store(tmp_path / "run.sqlite", create=True)
    writer = Writer(store, seconds=1000)
    writer.add([Reading("loss", float(step), step=step) for step in range(6)])
    position = writer.position()
    assert position == store.last_reading() == 6
    writer.add([Reading("norm", 1.0, step=5), Reading("start", 1.0)])
    writer.flush()
    writer.add([Reading("norm", 1.0, step=6)])
    writer.rewind(position)
    writer.add([Reading("loss", 6.0, step=6)])
    writer.flush()
    assert [(r.name, r.value) for r in store.readings()] == [("loss", float(k)) for k in range(7)]


def test_the_writer_writes_in_batches_and_loses_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.sqlite", create=True)
    writer = Writer(store, seconds=1000)
    for k in range(5):
        writer.add([Reading("loss", float(k))])
    assert len(store.readings()) == 0
    writer.flush()
    writer.flush()
    assert [r.value for r in store.readings("loss")] == [0, 1, 2, 3, 4]
    eager = Writer(store, seconds=0)
    eager.add([Reading("loss", 9.0)])
    assert store.readings().value("loss") == 9.0


def test_readings_are_found_by_the_beginning_of_their_names(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.sqlite", create=True)
    names = [
        "rate",
        "validation.loss",
        "validation",
        "Validation.loss",
        "validation.\u03c1\U0001f600",
        "train.loss",
        "rates",
    ]
    store.add_readings([Reading(name, k) for k, name in enumerate(names)])
    assert [r.name for r in store.readings("validation.")] == ["validation.loss", "validation.\u03c1\U0001f600"]
    assert [r.name for r in store.readings("train.", "rate")] == ["rate", "train.loss", "rates"]
    assert len(store.readings("none")) == 0


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run at"):
        Store(tmp_path / "run.sqlite")
    (tmp_path / "text.sqlite").write_text("this is text, and long enough to be taken for a page " * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        Store(tmp_path / "text.sqlite")
    store = Store(tmp_path / "newer.sqlite", create=True)
    store.put({"format": 99})
    with pytest.raises(StoreError, match=r"format 99; this version reads format 1\. Update"):
        Store(tmp_path / "newer.sqlite")
    (tmp_path / "empty.sqlite").touch()  # a process killed while it made the store
    with pytest.raises(StoreError, match=r"is empty.*Nothing is lost"):
        Store(tmp_path / "empty.sqlite")
    half = Store(tmp_path / "half.sqlite", create=True)
    half.add_readings(READINGS * 500)
    with sqlite3.connect(half.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    del half
    content = (tmp_path / "half.sqlite").read_bytes()
    (tmp_path / "half.sqlite").write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match="cannot be read"):
        Store(tmp_path / "half.sqlite").readings()


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.sqlite", create=True)
    store._connection().execute("PRAGMA query_only=ON")
    with pytest.raises(StoreError, match="cannot be written"):
        store.put({"a": 1})


KILLED = """
import os, signal, sys
from pathlib import Path
from thalweg.readings import Reading
from thalweg.store import Store
store = Store(Path(sys.argv[1]) / "run.sqlite", create=True)
store.put({"name": "it", "status": "running"})
store.add_readings([Reading("loss", float(k), step=k) for k in range(100)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(folder: Path) -> Path:
    """The folder of a run whose process was killed: its log still stands beside the file."""
    process = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert (folder / "run.sqlite-wal").stat().st_size
    return folder


@pytest.mark.parametrize(
    "files", [("run.sqlite", "run.sqlite-wal", "run.sqlite-shm"), ("run.sqlite", "run.sqlite-wal")]
)
def test_a_killed_run_is_read_where_it_was_copied_to(tmp_path: Path, files: tuple[str, ...]) -> None:
    folder = killed(tmp_path / "run")
    (tmp_path / "copy").mkdir()
    for file in files:
        shutil.copy(folder / file, tmp_path / "copy" / file)
    shutil.rmtree(folder)
    store = Store(tmp_path / "copy" / "run.sqlite")
    assert len(store.readings("loss")) == 100
    assert store.get("status") == "interrupted"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights as POSIX has them")
@pytest.mark.parametrize("files", ["all", "no shared memory", "closed"])
def test_a_folder_that_may_only_be_read_is_read(tmp_path: Path, files: str) -> None:
    folder = killed(tmp_path / "run")
    if files == "closed":
        sqlite3.connect(folder / "run.sqlite").execute("PRAGMA wal_checkpoint").connection.close()
        Store(folder / "run.sqlite").close()
        assert not (folder / "run.sqlite-wal").exists()
    elif files == "no shared memory":
        (folder / "run.sqlite-shm").unlink()
    with read_only(folder, tmp_path):
        store = Store(folder / "run.sqlite")
        assert len(store.readings("loss")) == 100
        assert store.get("status") == "interrupted"
        with pytest.raises(StoreError, match="cannot be written"):
            store.put({"a": 1})
        del store


@contextmanager
def read_only(folder: Path, *parents: Path) -> Iterator[None]:
    """Within it the folder may be read and not written, also where the tests run as root."""
    for path in (folder, *folder.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    above = [p for p in (*parents, *tmp_parents(folder)) if p.stat().st_uid == os.geteuid()]
    modes = {path: path.stat().st_mode for path in above}
    root = os.geteuid() == 0
    try:
        for path in above:
            path.chmod(0o755)
        if root:
            os.seteuid(65534)  # nobody
        yield
    finally:
        if root:
            os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)
        folder.chmod(0o755)


def tmp_parents(folder: Path) -> list[Path]:
    """The folders that pytest made above it."""
    return [path for path in folder.parents if path.name.startswith(("pytest-", "popen-"))]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights as POSIX has them")
def test_a_folder_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    folder = killed(tmp_path / "run")
    with read_only(folder, tmp_path):
        if os.geteuid() == 65534:
            os.seteuid(0)
        folder.chmod(0)
        if os.getuid() == 0:
            os.seteuid(65534)
        with pytest.raises(StoreError, match="right to read"):
            Store(folder / "run.sqlite")


def test_a_run_that_is_a_file_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StoreError, match="no run at"):
        Store(tmp_path / "run" / "run.sqlite")


def test_the_clock_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps back by a year between two readings: their order and number stay, and nothing waits for it."""
    store = Store(tmp_path / "run.sqlite", create=True)
    writer = Writer(store, seconds=0)
    real = time.time
    for step, shift in enumerate([0.0, -3e7, 3e7, -3e9]):
        monkeypatch.setattr(time, "time", lambda shift=shift: real() + shift)
        writer.add([Reading("loss", float(step), step=step)])
    assert [r.value for r in store.readings("loss")] == [0, 1, 2, 3]


def test_a_log_costs_the_same_in_every_epoch(tmp_path: Path) -> None:
    """Pages that epoch 1,000 writes, against epoch 10: appended, never written anew."""
    store = Store(tmp_path / "run.sqlite", create=True)
    connection = store._connection()
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA synchronous=OFF")
    log = tmp_path / "run.sqlite-wal"
    written: list[int] = []
    for epoch in range(1000):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store.add_readings([Reading(name, 0.5, step=10 * epoch) for name in ("a", "b", "c", "d")] * 5)
        written.append(log.stat().st_size)
    assert sum(written[900:]) < 1.6 * sum(written[50:150])
    assert len(store.readings()) == 20_000

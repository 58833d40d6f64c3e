"""The store: what goes in comes out, from other processes too, and damage is named."""

import math
import multiprocessing
import sqlite3
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
    store = Store(tmp_path / "run.sqlite", create=True)
    store.add_readings([Reading("loss", float(step), step=step) for step in range(10)] + [Reading("start", 1.0)])
    store.forget_after(4)
    assert [r.value for r in store.readings("loss")] == [0, 1, 2, 3, 4]
    assert store.readings().value("start") == 1.0


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


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run at"):
        Store(tmp_path / "run.sqlite")
    (tmp_path / "text.sqlite").write_text("this is text, and long enough to be taken for a page " * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        Store(tmp_path / "text.sqlite")
    store = Store(tmp_path / "newer.sqlite", create=True)
    store.put({"format": 99})
    with pytest.raises(StoreError, match="format 99"):
        Store(tmp_path / "newer.sqlite")
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

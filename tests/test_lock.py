"""One writer per run: the second is refused with who holds it; a killed holder holds nothing; reading needs no lock."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thalweg.errors import StoreError
from thalweg.lock import FILE, in_use, locked
from thalweg.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such locks")
HOLD = """
import os, sys, time
from pathlib import Path
from thalweg.lock import locked
with locked(Path(sys.argv[1])):
    if sys.argv[2] == "fork" and os.fork() == 0:  # a worker that outlives its parent
        time.sleep(60)
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder: Path, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_another_process_is_refused_until_the_holder_is_killed(tmp_path: Path, how: str) -> None:
    process = hold(tmp_path, how)
    try:
        assert in_use(tmp_path)
        who = rf"run {tmp_path.name} is in use: process {process.pid} on \S+ has it since 20\d\d-.*Wait until"
        with pytest.raises(StoreError, match=who), locked(tmp_path):
            pass
    finally:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert how == "alone" or len(workers) == 1
    assert not in_use(tmp_path)
    with locked(tmp_path):
        assert in_use(tmp_path)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(StoreError, match=rf"process {os.getpid()} \(this one\)"), locked(tmp_path):
            pass
        assert in_use(tmp_path)
    assert not in_use(tmp_path)


def ask(folder: Path) -> None:
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        in_use(folder)


def test_whoever_asks_does_not_keep_a_writer_out(tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    askers = [multiprocessing.get_context("spawn").Process(target=ask, args=(tmp_path,)) for _ in range(2)]
    for asker in askers:
        asker.start()
    while any(asker.is_alive() for asker in askers):
        with locked(tmp_path):
            time.sleep(0.001)
    for asker in askers:
        asker.join()
        assert asker.exitcode == 0


def test_a_run_is_running_while_it_is_held(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.sqlite", create=True)
    store.put({"status": "running"})
    assert store.get("status") == "interrupted"
    with locked(tmp_path):
        assert Store(store.path).get("status") == "running"
    assert Store(store.path).get("status") == "interrupted"
    store.put({"status": "failed"})
    assert store.get("status") == "failed"


def test_a_lock_file_that_says_nothing_still_locks(tmp_path: Path) -> None:
    """A disk that is full takes no name."""
    with locked(tmp_path):
        (tmp_path / FILE).write_text("")
        with pytest.raises(StoreError, match="another process has it"), locked(tmp_path):
            pass


def test_a_folder_without_room_for_a_lock_says_so(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError, match=r"could not be opened.*make the folder writable"), locked(tmp_path):
        pass

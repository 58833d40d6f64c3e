"""One writer per run: an advisory lock on a file in the run's folder, which the kernel drops when its holder dies.

Reading a run never takes it. Where the system has no such locks (Windows), or the file system does not, there is none.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from thalweg.errors import StoreError

if sys.platform != "win32":
    import fcntl

FILE = "run.lock"
WAIT_SECONDS = 0.5  # for a holder that is only being asked whether it lives
held: set[int] = set()  # descriptors of this process


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within it nobody else, in this process or another, may write the run of `folder`.

    Raises:
        StoreError: when someone else holds the run; the message says who, since when and what to do.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with locked(folder):
    ...     in_use(folder)
    True
    >>> in_use(folder)
    False
    """
    if sys.platform == "win32":
        yield
        return
    try:
        descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(
            f"The run {folder.name} cannot be written: {folder / FILE} could not be opened ({error.strerror}). Reading "
            "works as it is; to go on with the run, make the folder writable or copy it."
        ) from error
    try:
        acquire(descriptor, folder)
        held.add(descriptor)
        yield
    finally:
        held.discard(descriptor)
        os.close(descriptor)


def acquire(descriptor: int, folder: Path) -> None:
    """Takes the lock and writes who holds it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not tried(descriptor, exclusive=True):
        if time.monotonic() > deadline:
            raise StoreError(
                f"The run {folder.name} is in use: {holder(folder)}. Two at once would spoil it. Wait until that one "
                "ends, or stop it, then try again; reading the run (`thalweg runs`, `thalweg report`) works meanwhile."
            )
        time.sleep(0.02)
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    with suppress(OSError):  # on a full disk the lock holds without a name on it
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "since": since}).encode())


def in_use(folder: Path) -> bool:
    """Whether someone writes the run at this moment; also True where that cannot be known."""
    if sys.platform == "win32":
        return True
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not tried(descriptor, exclusive=False)
    except OSError:
        return True
    finally:
        os.close(descriptor)


def tried(descriptor: int, *, exclusive: bool) -> bool:
    """Whether the lock could be taken at once; True too on a file system without locks, where only a writer may ask."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        if not exclusive:
            raise
    return True


def holder(folder: Path) -> str:
    """`process 1234 on host since ...`, as far as the lock file says."""
    try:
        facts = json.loads((folder / FILE).read_text())
        own = " (this one)" if facts["pid"] == os.getpid() and facts["host"] == os.uname().nodename else ""
        return f"process {facts['pid']}{own} on {facts['host']} has it since {facts['since']}"
    except (OSError, ValueError, KeyError):
        return "another process has it"


def let_go() -> None:
    """In a forked child: a worker that outlives its killed parent must not keep the run locked."""
    while held:
        os.close(held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=let_go)

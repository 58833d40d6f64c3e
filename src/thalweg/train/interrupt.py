"""Ctrl-C, a request to end and a lost terminal end a training cleanly: at the next step boundary, with a checkpoint."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A lost terminal (POSIX) and Ctrl-Break (Windows) are not known everywhere.
NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


class Interrupt:
    """Whether someone asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def handle(self, number: int, _frame: FrameType | None) -> None:
        # A second Ctrl-C does not wait for the step; a terminal that closes may send its signal twice.
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Within it the first Ctrl-C, SIGTERM or SIGHUP only sets `asked`; the former handlers come back afterwards.

    A signal that the process was started to ignore (`nohup`) stays ignored. Outside the main thread Python allows no
    handlers, and nothing is changed.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    former = {number: signal.getsignal(number) for number in NUMBERS}
    former = {n: handler for n, handler in former.items() if handler not in (signal.SIG_IGN, None)}
    for number in former:
        signal.signal(number, interrupt.handle)
    try:
        yield interrupt
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)

"""Ctrl-C ends a training cleanly: at the next step boundary, with a checkpoint."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether someone asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:  # a second Ctrl-C does not wait for the step
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Within it, the first Ctrl-C (SIGINT) or SIGTERM only sets `asked`; the former handlers come back afterwards.

    Outside the main thread Python allows no handlers, and nothing is changed.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    former = {number: signal.signal(number, interrupt.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)

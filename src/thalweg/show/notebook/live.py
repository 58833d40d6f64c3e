"""A training in a notebook: one output, redrawn in place. IPython is used where it runs, and needed nowhere."""

import sys
import time
from typing import Any

from thalweg.events import Event, RunEnded, RunStarted, Saved
from thalweg.show.notebook.picture import in_words, picture
from thalweg.show.notebook.told import Told

SECONDS = 0.5  # between two pictures, at least
SHARE = 0.01  # of the training time that pictures may take


def in_notebook() -> bool:
    """Whether this is an IPython kernel: Jupyter, VS Code, Colab; not the `ipython` of a terminal.

    >>> in_notebook()
    False
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__)


class Notebook:
    """Draws the events of one training into one output of a notebook, which is replaced as it goes on.

    It is redrawn at most twice a second, and takes at most a hundredth of the time.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.told = Told()
        self._handle: Any = None  # of the output
        self._next = 0.0  # the time of the next picture

    def __call__(self, event: Event) -> None:
        if isinstance(event, Saved):
            return  # a cell names what it writes itself
        if isinstance(event, RunStarted):
            self._begin()  # the next training of the same listener has an output of its own
        self.told.add(event)
        if isinstance(event, RunEnded) or time.monotonic() >= self._next:
            self._draw()

    def close(self) -> None:
        """Draws the last picture of a training that ended without saying so: by an error, or before its first step."""
        if self.told.started and not self.told.ended:
            self.told.closed = True
            self._draw()

    def _draw(self) -> None:
        started = time.thread_time()
        bundle = {"text/html": picture(self.told), "text/plain": in_words(self.told)}
        if self._handle is None:
            from IPython.display import DisplayHandle

            self._handle = DisplayHandle()  # kept first: an interrupt while it is drawn must not lead to a second one
            self._handle.display(bundle, raw=True)
        else:
            self._handle.update(bundle, raw=True)
        self._next = time.monotonic() + max(SECONDS, (time.thread_time() - started) / SHARE)

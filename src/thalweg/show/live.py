"""Where a training is shown while it goes on, unless the caller listens: the terminal, or a notebook's output."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from thalweg.events import Listener


@contextmanager
def default_terminal(listeners: Sequence[Listener] | None) -> Iterator[Sequence[Listener]]:
    """The given listeners, or for None what shows a training here: the terminal, or a notebook's output.

    Whatever happens, it is left with its last state: no bar stays.
    """
    if listeners is not None:
        yield listeners
        return
    from thalweg.show.notebook import Notebook, in_notebook
    from thalweg.show.terminal import Terminal

    terminal = Notebook() if in_notebook() else Terminal()
    try:
        yield (terminal,)
    finally:
        terminal.close()

"""The one progress bar: on stderr, only where a person looks, gone when the training ends."""

import os
from typing import TextIO

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress

from thalweg.events import GONE, Progress
from thalweg.show.pace import Pace
from thalweg.show.printer import Printer
from thalweg.show.text import number


class Bar:
    """A bar with the time left. It is drawn by the events alone, without a thread, so that no row is written into it.

    Args:
        printer: of stderr.
        redirect_stdout: whether what others print meanwhile (a model's `print`) goes above the bar; only right where
            stdout is the same terminal. Warnings and tracebacks on stderr always do.
    """

    def __init__(self, printer: Printer, *, redirect_stdout: bool) -> None:
        bar = BarColumn(None, complete_style="green", finished_style="green")
        columns = (TextColumn("  {task.description}"), bar, TextColumn("{task.fields[left]}"))
        self._progress = RichProgress(
            *columns, console=printer.console, auto_refresh=False, transient=True, expand=True,
            redirect_stdout=redirect_stdout, redirect_stderr=True,
        )  # fmt: skip
        self._task = self._progress.add_task("train", total=None, left="")
        self._printer = printer
        self._pace = Pace()

    def update(self, event: Progress) -> None:
        """Draws the bar at this event's step."""
        self._progress.console.width = self._printer.width  # the window may have been resized
        left = self._pace.left(event)
        loss = "" if event.loss is None else f"loss {number(event.loss)}"
        text = f"epoch {event.epoch}/{event.num_epochs}  {loss}".rstrip()
        self._progress.update(self._task, description=text, completed=event.step, total=event.num_steps, left=left)
        if not self._progress.live.is_started:
            self._progress.start()
        self._progress.refresh()

    def hide(self) -> None:
        """Removes the bar from the screen; the next event draws it again."""
        if self._progress.live.is_started:
            try:
                self._progress.stop()
            except OSError as error:  # the terminal was closed
                if error.errno not in GONE:
                    raise


def same_terminal(stdout: TextIO, stderr: TextIO) -> bool:
    """Whether both streams are one terminal."""
    if not (stdout.isatty() and stderr.isatty()):
        return False
    return os.fstat(stdout.fileno()).st_rdev == os.fstat(stderr.fileno()).st_rdev

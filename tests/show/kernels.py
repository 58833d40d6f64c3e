"""A notebook in a real kernel: cells are executed one by one, and every message that draws is kept."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbclient import NotebookClient

Message = dict[str, Any]


@dataclass
class Cell:
    """What a cell left behind, and the messages that drew it."""

    outputs: list[dict[str, Any]]
    drawn: list[Message] = field(default_factory=list)

    @property
    def displays(self) -> list[str]:
        """The display ids of first drawings."""
        return [m["content"]["transient"]["display_id"] for m in self.drawn if m["msg_type"] == "display_data"]

    @property
    def updates(self) -> list[str]:
        """The display ids of redrawings."""
        return [m["content"]["transient"]["display_id"] for m in self.drawn if m["msg_type"] == "update_display_data"]

    @property
    def html(self) -> str:
        """The HTML of the only output that has some."""
        (found,) = [o["data"]["text/html"] for o in self.outputs if "text/html" in o.get("data", {})]
        return str(found)

    @property
    def text(self) -> str:
        """What was printed, to either stream."""
        return "".join(o["text"] for o in self.outputs if o["output_type"] == "stream")


class Notebook(NotebookClient):
    """Executes cells in one kernel; `watch` sees each message that draws, while the cell runs."""

    def run(self, source: str, watch: Callable[[Message], None] = lambda _: None) -> Cell:
        self.drawn: list[Message] = []
        self.watch = watch
        self.nb.cells.append(nbformat.v4.new_code_cell(source))
        cell = self.execute_cell(self.nb.cells[-1], len(self.nb.cells) - 1)
        return Cell(cell["outputs"], self.drawn)

    def process_message(self, msg: Message, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] in ("display_data", "update_display_data"):
            self.drawn.append(msg)
            self.watch(msg)
        return super().process_message(msg, cell, cell_index)

    def interrupt(self) -> None:
        """What the stop button does."""
        os.kill(self.km.provisioner.pid, signal.SIGINT)


@contextmanager
def notebook(folder: str) -> Iterator[Notebook]:
    """A fresh kernel whose working directory is `folder`."""
    client = Notebook(
        nbformat.v4.new_notebook(), timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    with client.setup_kernel():
        yield client

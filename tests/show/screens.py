"""Runs a program in a real terminal (a pty) and draws what a person would see of it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b\][^\x07]*\x07|\x1b.")
WITHOUT = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "CI", "PYTHONIOENCODING", "TTY_COMPATIBLE")


@dataclass
class Screen:
    """What a terminal of `width` columns shows; only the controls that are in use here are known, others raise."""

    width: int
    lines: list[list[str]] = field(default_factory=lambda: [[]])
    row: int = 0
    column: int = 0
    wrapped: int = 0  # how often a line was wider than the terminal
    widest: int = 0

    def feed(self, text: str) -> "Screen":
        position = 0
        while position < len(text):
            if match := CONTROL.match(text, position):
                self.control(match)
                position = match.end()
            else:
                self.put(text[position])
                position += 1
        return self

    def put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            self.lines += [[]] * 0 if self.row < len(self.lines) else [[]]
        else:
            cells = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if self.column + cells > self.width:
                self.wrapped += 1
                self.put("\r")
                self.put("\n")
            line = self.lines[self.row]
            line += [" "] * (self.column + cells - len(line))
            line[self.column] = character
            self.column += cells
            self.widest = max(self.widest, self.column)

    def control(self, match: re.Match[str]) -> None:
        number, letter = match.group(1), match.group(2)
        if letter == "A":
            self.row = max(0, self.row - int(number or 1))
        elif letter == "K":
            keep = 0 if number == "2" else self.column
            self.lines[self.row] = self.lines[self.row][:keep]
        elif letter != "m":
            raise AssertionError(f"a control nobody should need: {match.group()!r}")

    def shown(self) -> list[str]:
        return ["".join(line).rstrip() for line in self.lines]


def run_in_terminal(
    script: Path | list[str], *, width: int = 80, stdout: str = "tty", stderr: str = "tty", **environment: str
) -> tuple[str, str, int]:
    """Runs a Python script with its streams on one pty or on pipes; returns both streams' text and the exit status.

    Where both are the terminal, the first text holds both, in order.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in WITHOUT}
    command = [sys.executable, *(script if isinstance(script, list) else [str(script)])]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=follower if stdout == "tty" else subprocess.PIPE,
        stderr=follower if stderr == "tty" else subprocess.PIPE,
        env={**kept, "TERM": "xterm-256color", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", **environment},
    )
    os.close(follower)
    seen = read_all(leader)
    out, err = process.communicate(timeout=120)
    return decode(seen if out is None else out), decode(seen if err is None else err), process.returncode


def decode(data: bytes) -> str:
    return data.decode("utf-8").replace("\r\n", "\n").replace("\n", "\r\n")


def read_all(leader: int) -> bytes:
    chunks = []
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the other side has closed
            chunk = b""
        if not chunk:
            os.close(leader)
            return b"".join(chunks)
        chunks.append(chunk)

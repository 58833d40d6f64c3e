"""Memory and time of saving and loading a checkpoint, beside `torch.save` and `torch.load`.

    python benchmarks/checkpoint.py [--megabytes 400] [--rounds 3]

Memory: the highest resident set above the one before, in MB, in a fresh process each, sampled every 2 ms; the pages of
a mapped file, which the system may take back, are counted apart. Time: wall, interleaved, medians; synced to the disk.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from thalweg.train.checkpoint import load_checkpoint, save_checkpoint

TENSORS = 40


def state_of(megabytes: int) -> dict[str, Tensor]:
    return {f"layer{i}.weight": torch.full((megabytes * 250_000 // TENSORS,), float(i)) for i in range(TENSORS)}


def memory(key: str) -> float:
    """A line of this process' status, in MB: VmRSS is the resident set, RssAnon what no file stands behind."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1000


def verbs(folder: Path, state: dict[str, Tensor]) -> dict[str, Callable[[], object]]:
    folder.mkdir(exist_ok=True)

    def torch_save() -> None:
        with (folder / "state.pt").open("wb") as stream:
            torch.save(state, stream)
            os.fsync(stream.fileno())

    def restore(load: Callable[[], dict[str, Tensor]]) -> None:
        loaded = load()
        for name, value in state.items():
            value.copy_(loaded[name])

    return {
        "save": lambda: save_checkpoint(folder, "last", state, {}),
        "torch.save": torch_save,
        "load": lambda: restore(lambda: load_checkpoint(folder, "last")[0]),
        "torch.load": lambda: restore(lambda: torch.load(folder / "state.pt", weights_only=True)),
    }


def report_memory(folder: Path, megabytes: int, verb: str) -> None:
    """In a process of its own: prints the extra resident memory, and of it what is no page of a file."""
    chosen = verbs(folder, state_of(megabytes))[verb]
    if "save" in verb:
        verbs(folder / "warm", state_of(1))[verb]()  # imports and buffers come first
    before = memory("VmRSS"), memory("RssAnon")
    highest = [before]
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.002):
            highest.append((memory("VmRSS"), memory("RssAnon")))

    looking = threading.Thread(target=look)
    looking.start()
    chosen()
    done.set()
    looking.join()
    print(*(f"{max(values) - start:.1f}" for start, values in zip(before, zip(*highest, strict=True), strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-of", nargs=2, metavar=("VERB", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        report_memory(Path(options.memory_of[1]), options.megabytes, options.memory_of[0])
        return
    with tempfile.TemporaryDirectory() as folder:
        every = verbs(Path(folder), state_of(options.megabytes))
        taken: dict[str, list[float]] = {verb: [] for verb in every}
        for _ in range(options.rounds):
            for verb, act in every.items():
                started = time.perf_counter()
                act()
                taken[verb].append(time.perf_counter() - started)
        print("| | seconds | peak above before, MB | of it no file's page, MB |\n|---|---|---|---|")
        for verb, values in taken.items():
            command = [sys.executable, __file__, "--megabytes", str(options.megabytes), "--memory-of", verb, folder]
            peak, kept = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            print(f"| {verb} | {statistics.median(values):.2f} | {peak} | {kept} |")


if __name__ == "__main__":
    main()

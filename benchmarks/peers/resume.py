"""Does a training that was stopped end with the same bits as one that was not? Each trainer in its documented way.

    python benchmarks/peers/resume.py [--only thalweg]

Dropout, batch norm, Adam, shuffled rows; 3 epochs of 8 steps. A process is killed two steps after it saved: step 11,
within the second epoch, or the end of the first; another process goes on. (thalweg is stopped by Ctrl-C at that step,
which saves.) Weights and batch norm's estimates at the end are compared with those of a process that was not stopped.
"repeats" tells whether two unbroken processes agree at all.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from resuming.job import STOPS, Job
from torch import Tensor
from trainers import PEERS, silence

RESULT = "weights.pt"


def in_process(trainer: str, folder: Path, when: str, part: str) -> list[Tensor]:
    """The weights at the end of a process; none where it was stopped."""
    command = [sys.executable, __file__, "--part", trainer, str(folder), when, part]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result = folder / RESULT
    if part != "stopped" and not result.exists():
        raise RuntimeError(f"{trainer}, {part}, {when}: {done.stderr[-2000:]}")
    return torch.load(result) if part != "stopped" else []


def part_of(trainer: str, folder: Path, when: str, part: str) -> None:
    torch.set_num_threads(1)
    with silence():
        module = importlib.import_module(f"resuming.{trainer}")
        weights = module.run(Job(folder, when, stopped=part == "stopped", resumed=part == "resumed"))
    torch.save(weights, folder / RESULT)


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def farthest(a: list[Tensor], b: list[Tensor]) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True) if x.is_floating_point())


def compare(trainer: str) -> list[str]:
    """The cells of a trainer's row."""
    only_epochs = "EPOCHS_ONLY" in Path(__file__).with_name("resuming").joinpath(f"{trainer}.py").read_text()
    cells, unbroken = [], []
    for when in STOPS:
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            unbroken.append(in_process(trainer, Path(first), when, "whole"))
            if when == "mid" and only_epochs:
                cells.append("not offered")
                continue
            in_process(trainer, Path(second), when, "stopped")
            resumed = in_process(trainer, Path(second), when, "resumed")
        if same(unbroken[-1], resumed):
            cells.append("bit-equal")
        else:
            cells.append(f"no: weights differ by up to {farthest(unbroken[-1], resumed):.2g}")
    return ["yes" if same(*unbroken) else "no", *cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument(
        "--part", nargs=4, metavar=("TRAINER", "FOLDER", "WHEN", "PART"), help="be one of the processes"
    )
    options = parser.parse_args()
    if options.part:
        trainer, folder, when, part = options.part
        part_of(trainer, Path(folder), when, part)
        return
    print("| trainer | repeats | stopped within an epoch | stopped after an epoch |\n|---|---|---|---|")
    for trainer in options.only or ("thalweg", "tutorial", *PEERS):
        print(f"| {trainer} | {' | '.join(compare(trainer))} |", flush=True)


if __name__ == "__main__":
    main()

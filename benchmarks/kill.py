"""SIGKILL at random moments of a training that saves all the time: what was saved loads, and the end is bit-equal.

    python benchmarks/kill.py [--quick] [--kills 50]

Runs are killed five times each, resumed by a new process each time, and at last go on to their end. After each kill:
the last checkpoint's hash is right and its tensors load, SQLite's integrity check passes, the run is listed as
interrupted, a lock is free. The end is compared with an unbroken run's, tensor by tensor and epoch by epoch. Exit
status 1 where anything is lost. A save is made after every step, so that most moments are within one.
"""

import argparse
import math
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.lock import in_use
from thalweg.train import loop
from thalweg.train.checkpoint import load_checkpoint

KILLS_PER_RUN = 5
LATEST = 0.3  # seconds after a process has made its first save, at which it is killed
CURVES = ("step", "train.loss", "validation.loss", "validation.accuracy", "rate")
PLAN = tw.Plan(
    optimizer=tw.optimizers.AdamW(lr=0.003),
    epochs=30,
    batch_size=64,
    precision="float32",
    compile="never",
    probes=False,
)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 2))


def experiment_in(folder: Path) -> tw.Experiment:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(800) % 2
    x = torch.randn(800, 16, generator=generator) + 0.5 * y[:, None]
    return tw.Experiment(network, train=(x, y), loss="cross_entropy", test=False, directory=folder, name="it")


def work(folder: Path) -> None:
    """In a process of its own: begins the run, or goes on with it, and saves after every step."""
    loop.CHECKPOINT_SECONDS = loop.LOOK_SECONDS = -1.0
    loop.SAVING_SHARE = math.inf
    experiment = experiment_in(folder)
    if (folder / "it-1").is_dir():
        experiment.resume("it-1", listeners=())
    else:
        experiment.train(PLAN, listeners=())


def kill_once(folder: Path, generator: random.Random) -> bool:
    """Starts a process and kills it; whether it was in the middle of a save."""
    checkpoints = folder / "it-1" / "checkpoints"
    before = stamp(checkpoints)
    process = multiprocessing.get_context("fork").Process(target=work, args=(folder,))
    process.start()
    while stamp(checkpoints) == before and process.is_alive():
        time.sleep(0.001)
    time.sleep(generator.uniform(0, LATEST))
    assert process.is_alive(), "the run ended before it could be killed; make it longer"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return bool(list(checkpoints.glob(".*.part")))


def stamp(checkpoints: Path) -> int:
    manifest = checkpoints / "last.json"
    return manifest.stat().st_mtime_ns if manifest.exists() else 0


def faults_after(folder: Path) -> list[str]:
    """What is wrong with a run that was killed; nothing should be."""
    run = folder / "it-1"
    faults = []
    tensors, facts = load_checkpoint(run / "checkpoints", "last")
    if not all(bool(value.isfinite().all()) for value in tensors.values() if value.is_floating_point()):
        faults.append("a tensor is not finite")
    if facts["best_step"]:
        load_checkpoint(run / "checkpoints", "best")
    connection = sqlite3.connect(run / "run.sqlite")
    if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
        faults.append("the store is damaged")
    connection.close()
    opened = tw.Run.open(run)
    if opened.store.last_reading() < facts["readings"]:
        faults.append("readings from before the checkpoint are missing")
    if opened.status != "interrupted" or in_use(run):
        faults.append(f"the run is {opened.status}")
    return faults


def everything(run: tw.Run) -> dict[str, Tensor]:
    folder = run.directory / "checkpoints"
    tensors = {f"{name}.{key}": v for name in ("last", "best") for key, v in load_checkpoint(folder, name)[0].items()}
    return tensors | {name: torch.tensor(run.history[name], dtype=torch.float64) for name in CURVES}


def differing(a: tw.Run, b: tw.Run) -> list[str]:
    first, second = everything(a), everything(b)
    return [name for name in first.keys() | second.keys() if not torch.equal(first[name], second[name])]


def kill_and_finish(whole: tw.Run, folder: Path, kills: int, generator: random.Random) -> tuple[int, list[str]]:
    """How many kills were in the middle of a save, and what went wrong; nothing should."""
    during, faults = 0, []
    for k in range(kills):
        during += kill_once(folder, generator)
        faults += [f"kill {k + 1}: {fault}" for fault in faults_after(folder)]
    ended = experiment_in(folder).resume("it-1", listeners=())
    left = sorted(path.name for path in (folder / "it-1" / "checkpoints").glob(".*"))
    return during, faults + [f"{name} differs" for name in differing(whole, ended)] + [
        f"{name} is left" for name in left
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="ten kills")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = random.Random(options.seed)
    kills = 10 if options.quick else options.kills
    during, done, faults = 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        whole = experiment_in(Path(folder) / "whole").train(PLAN, listeners=())
        while done < kills:
            count = min(KILLS_PER_RUN, kills - done)
            hits, found = kill_and_finish(whole, Path(folder) / str(done), count, generator)
            during, done, faults = during + hits, done + count, faults + found
    print(f"{done} kills, {during} of them in the middle of a save; lost or different: {len(faults)}")
    for fault in faults[:20]:
        print(f"  {fault}")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())

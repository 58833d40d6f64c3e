"""Resume after a stop at every step: weights, optimizer, average, best epoch and history bit-equal to an unbroken run.

    python benchmarks/resume.py [--quick]

Two epochs with dropout, batch norm, an average of the weights, a schedule, accumulation with a short last window,
clipping, a Dataset with noise of its own, bfloat16; each optimizer, with and without processes that read. A training is
asked to stop after k updates, for every k, and goes on in a fresh Experiment. Exit status 1 where anything differs.
`--quick`: three stops each.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import thalweg as tw
from thalweg.train import loop
from thalweg.train.checkpoint import load_checkpoint

OPTIMIZERS: dict[str, tw.optimizers.Optimizer] = {
    "SGD": tw.optimizers.SGD(lr=0.05, momentum=0.9, nesterov=True),
    "Adagrad": tw.optimizers.Adagrad(lr=0.05),
    "RMSprop": tw.optimizers.RMSprop(lr=0.003, momentum=0.5, centered=True),
    "Adam": tw.optimizers.Adam(lr=0.003),
    "AdamW": tw.optimizers.AdamW(lr=0.003),
}
CURVES = ("step", "train.loss", "validation.loss", "validation.accuracy", "rate")


class Noisy(Dataset[tuple[Tensor, int]]):
    """Rows of two classes; each visit adds noise from torch's, NumPy's and Python's generators."""

    def __init__(self, rows: int = 120) -> None:
        generator = torch.Generator().manual_seed(0)
        self.y = torch.arange(rows) % 2
        self.x = torch.randn(rows, 8, generator=generator) + self.y[:, None]

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = torch.randn(8) + float(np.random.normal()) + random.random()
        return self.x[index] + 0.3 * noise, int(self.y[index])


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))


def experiment_in(folder: Path) -> tw.Experiment:
    return tw.Experiment(network, train=Noisy(), loss="cross_entropy", test=False, directory=folder)


def plan_of(optimizer: tw.optimizers.Optimizer, workers: int) -> tw.Plan:
    """102 training rows in batches of 8: 13, so that the seventh update of an epoch has one batch, of 6 rows."""
    return tw.Plan(
        optimizer=optimizer,
        schedule=tw.schedules.WarmupCosine(warmup=0.2),
        epochs=2,
        batch_size=8,
        accumulate=2,
        averaging=tw.averaging.EMA(decay=0.9),
        clip_norm=1.0,
        precision="bf16",
        compile="never",
        preprocessing="none",
        probes=False,
        workers=workers,
    )


class Asked:
    """An interrupt that comes when the training stands at a step."""

    def __init__(self, training: loop.Training, step: int) -> None:
        self.training, self.step = training, step

    @property
    def asked(self) -> bool:
        return self.training.step >= self.step


@contextmanager
def stopping_at(step: int) -> Iterator[None]:
    """Within it a training is asked to stop as soon as it has made so many updates."""
    run = loop.Training.run

    def stopped(training: loop.Training) -> str:
        with mock.patch.object(loop, "interruptible", return_value=nullcontext(Asked(training, step))):
            return run(training)

    with mock.patch.object(loop.Training, "run", stopped):
        yield


def everything(run: tw.Run) -> dict[str, Tensor]:
    """What a run ends with: every tensor of its checkpoints, its curves and its final measures."""
    folder = run.directory / "checkpoints"
    tensors = {f"{name}.{key}": v for name in ("last", "best") for key, v in load_checkpoint(folder, name)[0].items()}
    curves = {name: torch.tensor(run.history[name], dtype=torch.float64) for name in CURVES}
    measures = {name: torch.tensor(value, dtype=torch.float64) for name, value in run.metrics.items()}
    return tensors | curves | measures | {"best": torch.tensor(run.store.get("best")["step"])}


def differing(a: tw.Run, b: tw.Run) -> list[str]:
    """The names of what is not bit-equal in two runs."""
    first, second = everything(a), everything(b)
    same = first.keys() & second.keys()
    return sorted(first.keys() ^ second.keys()) + [name for name in same if not torch.equal(first[name], second[name])]


def differences_after_stops(plan: tw.Plan, steps: list[int] | None, folder: Path) -> dict[int, list[str]]:
    """Per step at which the training was stopped, what differs in the end; None stops at every step."""
    whole = experiment_in(folder).train(plan, listeners=())
    found = {}
    for step in steps or range(1, int(whole.store.get("num_steps"))):
        with stopping_at(step):
            stopped = experiment_in(folder).train(plan, listeners=())
        assert (stopped.status, stopped.store.get("step")) == ("interrupted", step)
        resumed = experiment_in(folder).resume(stopped.name, listeners=())
        assert resumed.status == "completed"
        found[step] = differing(whole, resumed)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three stops each instead of every step")
    steps = [1, 7, 10] if parser.parse_args().quick else None
    torch.set_num_threads(1)
    wrong = 0
    print("| optimizer | workers | stops | bit-equal | seconds |\n|---|---|---|---|---|")
    for name, optimizer in OPTIMIZERS.items():
        for workers in (0, 2):
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                found = differences_after_stops(plan_of(optimizer, workers), steps, Path(folder))
            bad = {step: names for step, names in found.items() if names}
            wrong += len(bad)
            row = f"| {name} | {workers} | {len(found)} | {len(found) - len(bad)} "
            print(f"{row}| {time.perf_counter() - started:.0f} |", flush=True)
            for step, names in bad.items():
                print(f"  stop at {step}: {len(names)} differ, such as {names[:4]}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

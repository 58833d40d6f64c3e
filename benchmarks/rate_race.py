"""The rate race against the best rate of full short trainings: error in decades, time, and what it says of labels.

    OMP_NUM_THREADS=1 python benchmarks/rate_race.py [--seeds 3] [--random 20] [--only digits]

The truth is the minimum of the smoothed curve of test loss over rates half a decade apart, each trained over the same
number of steps on the same seeds: at a constant rate, and with warm-up and cosine to 0 (there the rate is the peak).
Data sets beside the project are left out where they are absent.
"""

import argparse
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Rows
from thalweg.parts.optimizers import SGD, AdamW, Optimizer
from thalweg.parts.schedules import Constant, Schedule, WarmupCosine
from thalweg.probes.course import scored_form
from thalweg.probes.rate_race import Race, race, smoothed_minimum
from thalweg.train.losses import NAMED
from thalweg.train.step import Step

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
OPTIMIZERS: dict[str, Optimizer] = {"AdamW": AdamW(weight_decay=0.01), "SGD momentum 0.9": SGD(momentum=0.9)}
HALF_DECADES = {"AdamW": range(-8, 0), "SGD momentum 0.9": range(-6, 2)}
SCHEDULES: dict[str, Schedule] = {"constant": Constant(), "cosine": WarmupCosine()}


@dataclass(frozen=True)
class Problem:
    name: str
    rows: Rows
    test: Rows
    build: Callable[[], nn.Module]
    loss: str
    batch_size: int
    epochs: int


def problem(
    name: str, x: Tensor, y: Tensor, build: Callable[[], nn.Module], loss: str, batch_size: int, epochs: int
) -> Problem:
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    held = len(y) // 5
    parts = [Rows(x[rows], y[rows], torch.arange(len(rows)), "train") for rows in (order[held:], order[:held])]
    return Problem(name, parts[0], parts[1], build, loss, batch_size, epochs)


def mlp(features: int, outputs: int) -> nn.Module:
    layers = [nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, outputs)]
    return nn.Sequential(*layers)


def cnn(width: int) -> nn.Module:
    def block(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]

    body = [*block(1, width), *block(width, width), nn.MaxPool2d(2), *block(width, 2 * width)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10))


def scaled(x: Tensor) -> Tensor:
    return (x - x.mean(0)) / x.std(0).clamp_min(1e-6)


def problems() -> Iterator[Problem]:
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32), torch.tensor(digits.target)
    x = (x - x.mean()) / x.std()
    yield problem("digits MLP", x, y, lambda: mlp(64, 10), "cross_entropy", 32, 12)
    yield problem("digits CNN", x.view(-1, 1, 8, 8), y, lambda: cnn(16), "cross_entropy", 32, 8)
    cancer = load_breast_cancer()
    x, y = scaled(torch.tensor(cancer.data, dtype=torch.float32)), torch.tensor(cancer.target).float()
    yield problem("breast cancer MLP", x, y, lambda: mlp(30, 1), "binary_cross_entropy", 16, 8)
    if (file := DATA / "california_housing.csv.gz").exists():
        table = pd.read_csv(file).select_dtypes("number").dropna().sample(5000, random_state=0)
        values = scaled(torch.tensor(table.to_numpy(), dtype=torch.float32))
        yield problem("California MLP", values[:, :-1], values[:, -1], lambda: mlp(8, 1), "mse", 64, 8)
    if (file := DATA / "fashion_mnist.npz").exists():
        with np.load(file) as arrays:
            x = torch.tensor(arrays["x_train"][:3000]).float().view(-1, 1, 28, 28)
            y = torch.tensor(arrays["y_train"][:3000]).long()
        yield problem("Fashion-MNIST CNN", (x - x.mean()) / x.std(), y, lambda: cnn(8), "cross_entropy", 64, 4)


def train(task: Problem, optimizer: Optimizer, schedule: Schedule, rate: float, seed: int) -> float:
    """Test loss after a full short training; infinite where it diverged."""
    torch.manual_seed(seed)
    network = task.build().train()
    loss = NAMED[task.loss]
    step_on = Step(network, loss, optimizer, seed=seed)
    feeder = Feeder(task.rows, batch_size=task.batch_size, seed=seed)
    total = task.epochs * len(feeder)
    with global_rng_kept():
        for epoch in range(task.epochs):
            for k, (inputs, target) in enumerate(feeder.epoch(epoch), start=epoch * len(feeder)):
                step_on(inputs, target, step=k, rate=rate * schedule.factor(k, total))
    with torch.no_grad():
        value = float(loss(scored_form(network)(task.test.inputs), task.test.target))
    return value if math.isfinite(value) else math.inf


def truth(task: Problem, name: str, schedule: Schedule, seeds: int) -> tuple[float, dict[float, float]]:
    """The best rate, and the median test loss of each."""
    curve = {}
    for k in HALF_DECADES[name]:
        rate = 10 ** (k / 2)
        found = [train(task, OPTIMIZERS[name], schedule, rate, seed) for seed in range(seeds)]
        curve[rate] = statistics.median(found)
    return smoothed_minimum(curve, start=3.0), curve


def loss_at(curve: dict[float, float], rate: float) -> float:
    """The test loss at a rate, interpolated between the two nearest."""
    x = [math.log10(r) for r in curve]
    return float(np.interp(math.log10(rate), x, [min(v, 1e3) for v in curve.values()]))


def run_race(task: Problem, name: str, seed: int, target: Tensor | None = None) -> Race:
    torch.manual_seed(seed)
    rows = task.rows if target is None else Rows(task.rows.inputs, target, task.rows.ids, "train")
    return race(task.build(), NAMED[task.loss], OPTIMIZERS[name], rows, batch_size=task.batch_size, seed=seed)


def compare(tasks: list[Problem], seeds: int) -> None:
    print("| problem | optimizer | race (per seed) | seconds | schedule | best rate | error, decades | loss / best |")
    print("|---|---|---|---|---|---|---|---|")
    errors: dict[tuple[str, str], list[float]] = {}
    learnable: Counter[bool | None] = Counter()
    for task in tasks:
        for name in OPTIMIZERS:
            races = [run_race(task, name, seed) for seed in range(seeds)]
            learnable.update(r.learnable for r in races)
            rates = ", ".join(f"{r.rate:.2g}" for r in races)
            seconds = statistics.median(r.seconds for r in races)
            for kind, schedule in SCHEDULES.items():
                best, curve = truth(task, name, schedule, seeds)
                missed = [abs(math.log10(r.rate / best)) for r in races]
                errors.setdefault((name, kind), []).extend(missed)
                regret = statistics.mean(loss_at(curve, r.rate) for r in races) / min(curve.values())
                error = statistics.mean(missed)
                print(
                    f"| {task.name} | {name} | {rates} | {seconds:.1f} | {kind} | {best:.2g} | {error:.2f} | "
                    f"{regret:.2f} |", flush=True,
                )  # fmt: skip
    for (name, kind), values in errors.items():
        print(f"mean error, {name}, {kind}: {statistics.mean(values):.2f} decades over {len(values)} races")
    print(f"real labels: learnable {dict(learnable)}")


def random_labels(tasks: list[Problem], count: int) -> None:
    for task in tasks:
        for name in OPTIMIZERS:
            said: Counter[bool | None] = Counter()
            started = time.perf_counter()
            for seed in range(count):
                order = torch.randperm(len(task.rows), generator=torch.Generator().manual_seed(seed))
                said[run_race(task, name, seed, task.rows.target[order]).learnable] += 1
            seconds = (time.perf_counter() - started) / count
            print(f"random labels, {task.name}, {name}: learnable {dict(said)} in {seconds:.1f} s a race", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="races and trainings per problem")
    parser.add_argument("--random", type=int, default=20, help="races on permuted labels of the digits")
    parser.add_argument("--only", default="", help="problems whose name contains this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tasks = [task for task in problems() if options.only.lower() in task.name.lower()]
    compare(tasks, options.seeds)
    random_labels([task for task in tasks if task.name == "digits MLP"], options.random)


if __name__ == "__main__":
    main()

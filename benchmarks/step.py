"""Speed of a training step with monitors on, against the loop of the PyTorch tutorial.

    python benchmarks/step.py [--rounds 5]

Same model, data, optimizer and batches of the same size, one thread, process CPU time, interleaved; the median over
rounds of (tutorial / thalweg). Ours is the whole training: steps, monitors, validation each epoch, records on disk. The
tutorial loop is DataLoader, zero_grad, backward, step, and no validation. "exact" is `Plan.plain`, the bare loop to the
last bit; "auto" adds what the automatic plan decides about a step, the layout of images in memory (eight steps to
choose it, not counted); "one graph" is `Plan(compile="always")`, the time to compile not counted.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from thalweg.data.feeder import Feeder
from thalweg.data.rows import Rows
from thalweg.store import Store, Writer
from thalweg.train.layout import channels_last, choose_layout, has_images, use_layout
from thalweg.train.loop import Job, Training


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn(width: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(2 * width * 7 * 7, 10)),
    )


def deep() -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(64, 256), nn.ReLU()]
    for _ in range(10):
        layers += [nn.Linear(256, 256), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(256, 10))


Times = dict[str, float]
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int, int]] = {
    "a: MLP 64-128-128-10, batch 64": (mlp, (64,), 64, 2000),
    "b: CNN 28x28, 8 and 16 channels, batch 128": (partial(cnn, 8), (1, 28, 28), 128, 200),
    "b: CNN 28x28, 16 and 32 channels, batch 128": (partial(cnn, 16), (1, 28, 28), 128, 100),
    "c: MLP 12x256, batch 256": (deep, (64,), 256, 200),
}


def tutorial(model: nn.Module, x: Tensor, y: Tensor, batch_size: int) -> None:
    loader = DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    model.train()
    for inputs, target in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), target)
        loss.backward()
        optimizer.step()


def ours(
    model: nn.Module, x: Tensor, y: Tensor, batch_size: int, folder: Path, *, auto: bool = False, **changes: object
) -> Training:
    """A training of one epoch, ready to run; `auto` times the layout of images as the automatic plan does."""
    transform = None
    if auto and has_images(model, x):
        layout, _ = choose_layout(model, F.cross_entropy, x[:batch_size], y[:batch_size])
        if layout == "channels_last":
            use_layout(model, torch.channels_last)
            transform = channels_last
    optimizer = tw.optimizers.SGD(lr=0.01, momentum=0.9)
    plan = tw.Plan.plain(optimizer=optimizer, epochs=1, batch_size=batch_size, seed=0, **changes)
    train = Rows(x, y, torch.arange(len(x)), "train")
    held_out = Rows(x[:64], y[:64], torch.arange(64), "validation")
    job = Job(
        network=model,
        loss=F.cross_entropy,
        plan=plan,
        train=Feeder(train, batch_size=batch_size, seed=0, transform=transform),
        validation=Feeder(held_out, batch_size=64, seed=0, shuffle=False, transform=transform),
        metrics=(),
        folder=folder,
        writer=Writer(Store(folder / "run.sqlite", create=True)),
    )
    training = Training(job)
    if changes.get("compile") == "always":
        training.compile()
        training.take(next(training.windows(0)), step=0, rate=0.0)  # compiles now; its time is not billed to the steps
    return training


def cpu_seconds(function: Callable[..., object], *arguments: object) -> float:
    started = time.process_time()
    function(*arguments)
    return time.process_time() - started


FORMS: dict[str, dict[str, Any]] = {
    "auto": {"auto": True},
    "exact": {},
    "exact, not watched": {"monitoring": 0.0},
    "one graph": {"compile": "always"},
}


def measure(build: Callable[[], nn.Module], shape: tuple[int, ...], batch_size: int, num_steps: int, k: int) -> Times:
    """CPU seconds of the tutorial loop and of each form, on the same data from the same weights."""
    x = torch.randn(batch_size * num_steps, *shape)
    y = torch.randint(0, 10, (len(x),))

    def network() -> nn.Module:
        torch.manual_seed(k)
        return build()

    times = {"tutorial": cpu_seconds(tutorial, network(), x, y, batch_size)}
    for name, options in FORMS.items():
        if name == "one graph" and len(shape) > 1:
            continue  # the automatic plan never compiles convolutions
        with tempfile.TemporaryDirectory() as folder:
            training = ours(network(), x, y, batch_size, Path(folder), **options)
            times[name] = cpu_seconds(training.run)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {rounds} rounds\n")
    print("| model | tutorial, µs/step | " + " | ".join(FORMS) + " | watching costs |")
    print("|---|---|" + "---|" * (len(FORMS) + 1))
    for name, (build, shape, batch_size, num_steps) in CASES.items():
        found = [measure(build, shape, batch_size, num_steps, k) for k in range(rounds + 1)][1:]  # the first warms up
        cells = [
            f"{statistics.median(t['tutorial'] / t[form] for t in found):.2f}x" if form in found[0] else "–"
            for form in FORMS
        ]
        cost = statistics.median(t["exact"] / t["exact, not watched"] - 1 for t in found)
        step = statistics.median(t["tutorial"] for t in found) / num_steps * 1e6
        print(f"| {name} | {step:.0f} | {' | '.join(cells)} | {cost:+.1%} |", flush=True)


if __name__ == "__main__":
    main()

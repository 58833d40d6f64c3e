"""Speed of a training step with monitors on, against the loop of the PyTorch tutorial.

    python benchmarks/step.py [--rounds 5]

Same model, data, optimizer and batches of the same size, one thread, process CPU time, interleaved; the median over
rounds of (tutorial / thalweg). Ours is the whole training: steps, monitors, validation each epoch, records on disk. The
tutorial loop is DataLoader, zero_grad, backward, step, and no validation. "exact" is `Plan.plain`, the bare loop to the
last bit; "auto" adds what the automatic plan decides about a step, the layout of images in memory, its timing included.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

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


def ours(model: nn.Module, x: Tensor, y: Tensor, batch_size: int, monitoring: float, auto: bool = False) -> None:
    transform = None
    if auto and has_images(model, x):
        layout, _ = choose_layout(model, F.cross_entropy, x[:batch_size], y[:batch_size])
        if layout == "channels_last":
            use_layout(model, torch.channels_last)
            transform = channels_last
    optimizer = tw.optimizers.SGD(lr=0.01, momentum=0.9)
    plan = tw.Plan.plain(optimizer=optimizer, epochs=1, batch_size=batch_size, seed=0, monitoring=monitoring)
    with tempfile.TemporaryDirectory() as folder:
        train = Rows(x, y, torch.arange(len(x)), "train")
        held_out = Rows(x[:64], y[:64], torch.arange(64), "validation")
        store = Store(Path(folder) / "run.sqlite", create=True)
        job = Job(
            network=model,
            loss=F.cross_entropy,
            plan=plan,
            train=Feeder(train, batch_size=batch_size, seed=0, transform=transform),
            validation=Feeder(held_out, batch_size=64, seed=0, shuffle=False, transform=transform),
            metrics=(),
            folder=Path(folder),
            writer=Writer(store),
        )
        assert Training(job).run() == "completed"


def cpu_seconds(function: Callable[..., None], *arguments: object) -> float:
    started = time.process_time()
    function(*arguments)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {rounds} rounds\n")
    print("| model | tutorial, µs/step | auto, monitors on | exact, monitors on | exact, off | watching costs |")
    print("|---|---|---|---|---|---|")
    for name, (build, shape, batch_size, num_steps) in CASES.items():
        x = torch.randn(batch_size * num_steps, *shape)
        y = torch.randint(0, 10, (len(x),))
        pairs = []
        for k in range(rounds + 1):
            models = []
            for _ in range(4):
                torch.manual_seed(k)
                models.append(build())
            base = cpu_seconds(tutorial, models[0], x, y, batch_size)
            watched = cpu_seconds(ours, models[1], x, y, batch_size, 0.01)
            bare = cpu_seconds(ours, models[2], x, y, batch_size, 0.0)
            best = cpu_seconds(ours, models[3], x, y, batch_size, 0.01, True)
            pairs.append((base, watched, bare, best))
        pairs = pairs[1:]  # the first round warms up
        auto, speed, off = (statistics.median(pair[0] / pair[k] for pair in pairs) for k in (3, 1, 2))
        cost = statistics.median(pair[1] / pair[2] - 1 for pair in pairs)
        step = statistics.median(pair[0] for pair in pairs) / num_steps * 1e6
        print(f"| {name} | {step:.0f} | {auto:.2f}x | {speed:.2f}x | {off:.2f}x | {cost:+.1%} |", flush=True)


if __name__ == "__main__":
    main()

"""What `tw.watch` costs a loop: the same loop watched and not, in turns, and the experiments at its end apart.

    python benchmarks/watching.py [--rounds 9] [--share 0.004]

Model, data, optimizer and order of rows are the same, one thread, its CPU time. In each round three such loops, one of
them watched, take turns of 20 steps in an order that is drawn, so that a busy machine slows all of them. The ratio is
the median over rounds of (watched / not), of the steps alone; that of the two not watched says how far to trust it. The
last column is what the experiments on clones took when the block ended; they may take max(5 s, 0.2 of the loop).
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(16, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])  # type: ignore[no-any-return]


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU()),
        *(nn.Dropout(0.1), nn.Linear(128, 10)),
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(784, 10)),
    )


# Network, shape of a row, batch, steps.
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int, int]] = {
    "MLP 64-128-128-10, batch 64": (mlp, (64,), 64, 6000),
    "CNN 28x28, 8 and 16 channels, batch 64": (cnn, (1, 28, 28), 64, 400),
    "LSTM 16-64, 20 steps, batch 64": (Recurrent, (20, 16), 64, 800),
}


BLOCK, ROWS = 20, 4096


class Loop:
    """A loop that runs a few steps at a time."""

    def __init__(self, name: str, *, share: float | None, told: bool) -> None:
        make, shape, self.batch, _ = CASES[name]
        torch.manual_seed(0)
        self.model, self.x = make(), torch.randn(ROWS, *shape)
        flat = self.x.reshape(ROWS, -1)[:, :64]
        self.y = (flat @ torch.randn(flat.shape[1], 10)).argmax(1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.watch = None
        self.told, self.step, self.seconds = told, 0, 0.0
        if share is not None:
            self.watch = tw.watch(self.model, self.optimizer, listeners=(), share=share).__enter__()
        self.paused = time.perf_counter()

    def run(self) -> None:
        """The next steps; a watch plans by the clock, which stands still while other loops run."""
        if self.watch is not None:
            self.watch._steps.started += time.perf_counter() - self.paused
        started = time.thread_time()
        for _ in range(BLOCK):
            first = self.step * self.batch % ROWS
            self.optimizer.zero_grad()
            output = self.model(self.x[first : first + self.batch])
            loss = F.cross_entropy(output, self.y[first : first + self.batch])
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            if self.watch is not None and self.told:
                self.watch.step(loss)
            self.step += 1
        self.seconds += time.thread_time() - started
        self.paused = time.perf_counter()

    def end(self) -> float:
        """Seconds of what comes when the block is over."""
        started = time.thread_time()
        if self.watch is not None:
            self.watch.__exit__(None, None, None)
        return time.thread_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--share", type=float, default=0.004, help="of the time that watching may take")
    parser.add_argument("--silent", action="store_true", help="without watch.step(loss)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| loop | µs per step | watched / not, median | quartiles | two not watched | at the end |")
    print("|---|---|---|---|---|---|")
    for name, (*_, num_steps) in CASES.items():
        ratios, noise, ends, each = [], [], [], []
        for _ in range(options.rounds):
            plain, again = (Loop(name, share=None, told=False) for _ in range(2))
            watched = Loop(name, share=options.share, told=not options.silent)
            for _ in range(num_steps // BLOCK):
                for loop in random.sample((plain, again, watched), 3):
                    loop.run()
            ends.append(watched.end())
            ratios.append(2 * watched.seconds / (plain.seconds + again.seconds))
            noise.append(again.seconds / plain.seconds)
            each.append(1e6 * plain.seconds / num_steps)
        low, _, high = statistics.quantiles(ratios, n=4)
        print(
            f"| {name} | {statistics.median(each):.0f} | {statistics.median(ratios):.4f} | {low:.4f} to {high:.4f} "
            f"| {statistics.median(noise):.4f} | {statistics.median(ends):.1f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()

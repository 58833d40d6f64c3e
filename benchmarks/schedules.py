"""The cost of a schedule per step beside torch's `scheduler.step()`; when a plateau is seen, beside torch's patience.

python benchmarks/schedules.py
"""

import platform
import random
import time
import warnings
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler as torchs

from thalweg.parts.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Linear,
    Measured,
    MultiStep,
    OneCycle,
    Plateau,
    Polynomial,
    Product,
    Schedule,
    Sequential,
    Step,
    Triangular,
    Warmup,
    WarmupCosine,
    WarmupStableDecay,
)

N = 10_000
ROUNDS = 15
GROUPS = 2  # of parameters, as a decay that spares biases makes them
EPOCHS, CURVES, NOISE = 200, 300, 0.01

Make = Callable[[torch.optim.Optimizer], Any]
CASES: list[tuple[Schedule, Make | None]] = [
    (Constant(), lambda o: torchs.LambdaLR(o, lambda step: 1.0)),
    (Step(), lambda o: torchs.StepLR(o, N // 3)),
    (MultiStep(), lambda o: torchs.MultiStepLR(o, [N // 2, 3 * N // 4])),
    (Exponential(), lambda o: torchs.ExponentialLR(o, 0.01 ** (1 / N))),
    (Polynomial(power=0.9), lambda o: torchs.PolynomialLR(o, N, 0.9)),
    (Linear(), lambda o: torchs.LinearLR(o, 1.0, 0.0, N)),
    (Cosine(), lambda o: torchs.CosineAnnealingLR(o, N)),
    (WarmupCosine(), lambda o: warmed(o, torchs.CosineAnnealingLR(o, N - N // 20))),
    (Warmup(then=Cosine()), lambda o: warmed(o, torchs.CosineAnnealingLR(o, N - N // 20))),
    (WarmupStableDecay(), None),
    (Triangular(momenta=(0.8, 0.9)), lambda o: torchs.CyclicLR(o, 0.01, 0.1, N // 8)),
    (OneCycle(momenta=(0.85, 0.95)), lambda o: torchs.OneCycleLR(o, 0.1, total_steps=N + 1)),
    (CosineRestarts(), lambda o: torchs.CosineAnnealingWarmRestarts(o, N // 7, 2)),
    (Sequential(), lambda o: torchs.SequentialLR(o, [torchs.ConstantLR(o, 1.0), torchs.LinearLR(o)], [8 * N // 10])),
    (Product(parts=(Linear(), Step())), lambda o: torchs.ChainedScheduler([torchs.LinearLR(o), torchs.StepLR(o, N)])),
    (Plateau().informed([], N), None),
]


def warmed(optimizer: torch.optim.Optimizer, then: Any) -> Any:
    return torchs.SequentialLR(optimizer, [torchs.LinearLR(optimizer, 0.01, 1.0, N // 20), then], [N // 20])


def seconds_of_ours(schedule: Schedule) -> float:
    """Of one step, as the loop makes it: the rate and the momentum."""
    began = time.process_time()
    for step in range(N):
        schedule.factor(step, N)
        schedule.momentum(step, N)
    return (time.process_time() - began) / N


def seconds_of_torchs(make: Make) -> float:
    groups = [{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(GROUPS)]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    began = time.process_time()
    for _ in range(N):
        scheduler.step()
    return (time.process_time() - began) / N


def cost() -> None:
    print(f"| schedule | µs per step | torch's step() at {GROUPS} groups, µs | ratio |\n|---|---|---|---|")
    for schedule, make in CASES:
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(seconds_of_ours(schedule))
            if make is not None:
                theirs.append(seconds_of_torchs(make))
        beside = f"{median(theirs) * 1e6:.1f} | {median(theirs) / median(ours):.0f}×" if theirs else "none | "
        name = type(schedule).__name__ if make or not isinstance(schedule, Linear) else "Plateau"
        print(f"| {name} | {median(ours) * 1e6:.2f} | {beside} |")


def first_of_ours(losses: list[float], part: Plateau) -> int:
    history = [Measured(n, loss, loss) for n, loss in enumerate(losses, start=1)]
    for n in range(1, len(losses) + 1):
        if part.informed(history[:n], EPOCHS).factor(n, EPOCHS) < 1:
            return n
    return len(losses) + 1


def first_of_torchs(losses: list[float]) -> int:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torchs.ReduceLROnPlateau(optimizer)
    for n, loss in enumerate(losses, start=1):
        scheduler.step(loss)
        if optimizer.param_groups[0]["lr"] < 1:
            return n
    return len(losses) + 1


def plateaus() -> None:
    """The epoch of the first reduction, on losses with normal noise around a line from 3."""
    print(f"\n| fall per 10 epochs, in standard deviations of the noise ({CURVES} curves of {EPOCHS} epochs) "
          "| Plateau() | Plateau(window=10) | ReduceLROnPlateau() |\n|---|---|---|---|")  # fmt: skip
    generator = random.Random(0)
    for fall in (0.0, 1.0, 1.5, 2.0, 3.0):
        curves = [[3 - fall * NOISE * n / 10 + generator.gauss(0, NOISE) for n in range(EPOCHS)] for _ in range(CURVES)]
        forms: list[Callable[[list[float]], int]] = [
            lambda losses: first_of_ours(losses, Plateau()),
            lambda losses: first_of_ours(losses, Plateau(window=10)),
            first_of_torchs,
        ]
        print(f"| {fall:g} | " + " | ".join(spread([form(losses) for losses in curves]) for form in forms) + " |")
    slow = [1 - 1e-6 * n for n in range(EPOCHS)]
    found = [first_of_ours(slow, Plateau()), first_of_ours(slow, Plateau(window=10)), first_of_torchs(slow)]
    print("| no noise, a millionth per epoch | " + " | ".join(epoch(n) for n in found) + " |")


def spread(epochs: list[int]) -> str:
    deciles = quantiles(epochs, n=10)
    return f"{epoch(median(epochs))} ({epoch(deciles[0])} to {epoch(deciles[-1])})"


def epoch(number: float) -> str:
    return "never" if number > EPOCHS else f"{number:.0f}"


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # schedulers without optimizer steps, and SequentialLR's own
    print(f"torch {torch.__version__}, {platform.machine()}, one thread, process CPU time\n")
    cost()
    plateaus()
    print("\nEpoch of the first reduction, as median (first to last decile).")


if __name__ == "__main__":
    main()

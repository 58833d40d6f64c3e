"""Augmentations of sequences, tokens and tables against the loop over samples that libraries for arrays run.

    OMP_NUM_THREADS=1 python benchmarks/sequence_augmentation.py

Rows per CPU-second of one thread, medians of interleaved passes over one batch. The loop does the same with NumPy, one
sample after the other, and stacks them.
"""

import platform
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.parts.augmentations import (
    ColumnNoise,
    FrequencyMask,
    Jitter,
    Scaling,
    Shift,
    Speed,
    SwapNoise,
    TimeCrop,
    TimeMask,
    TimeWarp,
    TokenDrop,
    TokenMask,
    TokenSwap,
)
from thalweg.parts.augmentations.augmentation import Augmentation

REPEATS = 11
Row = NDArray[Any]
rng = np.random.default_rng(0)


def jitter(x: Row) -> Row:
    return x + 0.03 * x.std(-1, keepdims=True) * rng.standard_normal(x.shape, np.float32)


def scaling(x: Row) -> Row:
    return x * np.float32(rng.normal(1, 0.1))


def read(x: Row, place: Row, **outside: float) -> Row:
    steps = np.arange(x.shape[-1])
    rows = [np.interp(place, steps, row, **outside) for row in x.reshape(-1, x.shape[-1])]
    return np.stack(rows).reshape(x.shape).astype(x.dtype)


def time_warp(x: Row) -> Row:
    speeds = np.exp(np.log(1.2) * rng.uniform(-1, 1, 4))
    speed = np.interp(np.linspace(0, 3, x.shape[-1]), np.arange(4), speeds)
    place = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
    return read(x, place * (x.shape[-1] - 1) / place[-1])


def time_crop(x: Row) -> Row:
    kept = rng.uniform(0.8, 1)
    return read(x, rng.uniform(0, (1 - kept) * (x.shape[-1] - 1)) + kept * np.arange(x.shape[-1]))


def speed(x: Row) -> Row:
    factor = rng.uniform(0.9, 1.1)
    start = rng.uniform() * (1 - factor) * (x.shape[-1] - 1)
    return read(x, start + factor * np.arange(x.shape[-1]), left=0, right=0)


def stretch(size: int) -> slice:
    length = rng.integers(0, max(size // 10, 1) + 1)
    start = rng.integers(0, size - length + 1)
    return slice(start, start + length)


def time_mask(x: Row) -> Row:
    x = x.copy()
    x[..., stretch(x.shape[-1])] = x.mean(-1, keepdims=True)
    return x


def frequency_mask(x: Row) -> Row:
    x = x.copy()
    x[stretch(len(x))] = x.mean()
    return x


def shift(x: Row) -> Row:
    steps = rng.integers(-(x.shape[-1] // 10), x.shape[-1] // 10 + 1)
    x = np.roll(x, steps, -1)
    x[..., : max(steps, 0)] = 0
    x[..., x.shape[-1] + min(steps, 0) :] = 0
    return x


def token_drop(x: Row) -> Row:
    left = x[(rng.random(len(x)) >= 0.1) | (x == 0)]
    found = np.zeros_like(x)
    found[: len(left)] = left
    return found


def token_swap(x: Row) -> Row:
    x = x.copy()
    for t in np.flatnonzero(rng.random(len(x) - 1) < 0.05):
        x[t], x[t + 1] = x[t + 1], x[t]
    return x


def token_mask(x: Row) -> Row:
    u, free = rng.random(len(x)), x != 0
    x = np.where((u < 0.12) & free, 3, x)
    random = (u >= 0.12) & (u < 0.135) & free
    x[random] = rng.integers(4, 30_000, random.sum())
    return x


def column_noise(x: Row) -> Row:
    return x + np.float32(0.1) * rng.standard_normal(x.shape, np.float32)


def swap_noise(x: Row, other: Row) -> Row:
    return np.where((rng.random(len(x)) < 0.15) & ~np.isnan(x) & ~np.isnan(other), other, x)


SEQUENCES: list[tuple[Augmentation, Callable[..., Row]]] = [
    (Jitter(0.03), jitter),
    (Scaling(0.1), scaling),
    (TimeWarp(0.2), time_warp),
    (TimeMask(0.1), time_mask),
    (Shift(0.1), shift),
    (TimeCrop(0.8), time_crop),
    (Speed((0.9, 1.1)), speed),
]
TOKENS = [
    (TokenDrop(0.1), token_drop),
    (TokenSwap(0.1), token_swap),
    (TokenMask(mask=3, vocabulary=30_000), token_mask),
]
TABLES = [(ColumnNoise(0.1), column_noise), (SwapNoise(0.15), swap_noise)]


def looped(function: Callable[..., Row], x: Tensor) -> Callable[[], Tensor]:
    rows = x.numpy()
    following = [np.roll(rows, -1, 0)] if function is swap_noise else []
    return lambda: torch.from_numpy(np.stack([function(*row) for row in zip(rows, *following, strict=True)]))


def cpu_times(forms: list[Callable[[], object]]) -> list[float]:
    taken: list[list[float]] = [[] for _ in forms]
    for _ in range(REPEATS):
        for own, form in zip(taken, forms, strict=True):
            began = time.process_time()
            form()
            own.append(time.process_time() - began)
    return [median(own) for own in taken]


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, NumPy {np.__version__}, {platform.machine()}, one thread\n")
    sensors = [*SEQUENCES, (FrequencyMask(0.1), frequency_mask)]
    batches: list[tuple[Tensor, Any]] = [
        (torch.randn(256, 16_000), SEQUENCES),
        (torch.randn(256, 9, 128), sensors),
        (torch.randint(1, 30_000, (256, 128)), TOKENS),
        (torch.randn(1024, 32), TABLES),
    ]
    for x, parts in batches:
        print(f"| {list(x.shape)} | ours, rows/s | loop, rows/s | ratio |\n|---|---|---|---|")
        ids = np.arange(len(x))
        for part, function in parts:
            ours, theirs = cpu_times([lambda part=part, x=x, ids=ids: part(x, ids=ids), looped(function, x)])
            print(f"| {part} | {len(x) / ours:,.0f} | {len(x) / theirs:,.0f} | {theirs / ours:.1f} |")
        print()


if __name__ == "__main__":
    main()

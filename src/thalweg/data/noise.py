"""Random numbers: the noise of a step is a function of (seed, step), and the user's generators are left as found."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from thalweg.data.seeds import INIT, NOISE, mix


@contextmanager
def global_rng_kept() -> Iterator[None]:
    """Leaves torch's (CPU and initialized GPUs), NumPy's and Python's global generators as they were found.

    >>> before = torch.get_rng_state()
    >>> with global_rng_kept():
    ...     _ = torch.rand(3)
    >>> torch.equal(before, torch.get_rng_state())
    True
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def seed_noise(seed: int, step: int) -> None:
    """Seeds torch's generators with f(seed, step): what dropout draws in a step depends on nothing else.

    It takes 2 microseconds, so that no generator state ever needs to be stored. Call it inside `global_rng_kept`.
    """
    seed_torch(mix(NOISE, seed, step))


def seed_torch(value: int) -> None:
    """Seeds torch's generators of the CPU and of initialized GPUs.

    `torch.manual_seed` takes a thousand times as long, 2 ms, where an accelerator is not in use: it keeps the seed for
    it, with the stack of the call.
    """
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(value)


def seed_everything(seed: int) -> None:
    """Seeds torch, NumPy and Python, for code of the user's (a model's builder) that draws from any of them."""
    value = mix(INIT, seed)
    torch.manual_seed(value)
    np.random.seed(value % 2**32)
    random.seed(value)

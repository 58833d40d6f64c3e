"""The global generators of torch, numpy and Python on the CPU: seeded for an item, looked at, and left as found.

numpy's own way to read its state takes 100 microseconds, as long as 30 items of a Dataset in memory: its bytes
are looked at instead, which takes one.
"""

import ctypes
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.data.seeds import SAMPLE, mix

WORDS = 624  # of a Mersenne twister's state, which the place within it follows


def seed_item(seed: int, *place: int) -> None:
    """Seeds the global generators for one item or batch."""
    seed_generators(mix(SAMPLE, seed, *place))


def seed_generators(value: int) -> None:
    """Seeds torch's, numpy's and Python's global generators of the CPU."""
    torch.default_generator.manual_seed(value)  # `torch.manual_seed` would seed the GPUs too
    np.random.seed(value & 0xFFFFFFFF)
    random.seed(value)


@dataclass(frozen=True, eq=False)
class States:
    """Where the three generators stand."""

    torch: Tensor
    numpy: Any
    python: tuple[Any, ...]

    @classmethod
    def now(cls) -> "States":
        return cls(torch.get_rng_state(), numpy_state(), random.getstate())

    def differ(self) -> bool:
        """Whether something has been drawn since, or seeded."""
        same = torch.equal(self.torch, torch.get_rng_state()) and self.numpy == numpy_state()
        return not same or self.python != random.getstate()

    def put_back(self) -> None:
        torch.set_rng_state(self.torch)
        random.setstate(self.python)
        if self.numpy == numpy_state():
            return
        if isinstance(self.numpy, bytes):
            words = np.frombuffer(self.numpy, dtype=np.uint32)
            np.random.set_state(("MT19937", words[:WORDS], int(words[WORDS]), 0, 0.0))
        else:
            np.random.set_state(self.numpy)


def numpy_state() -> Any:
    """The bytes of numpy's Mersenne twister; of another generator, that someone has put in its place, the state."""
    generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
    if not isinstance(generator, np.random.MT19937):
        return np.random.get_state(legacy=False)
    return ctypes.string_at(generator.ctypes.state_address, 4 * (WORDS + 1))


@contextmanager
def unchanged_generators() -> Iterator[None]:
    """Puts the global CPU generators of torch, numpy and Python back as they were."""
    before = States.now()
    try:
        yield
    finally:
        before.put_back()

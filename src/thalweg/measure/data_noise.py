"""Noise of a Dataset's own: a generator that is kept in it is copied, state and all, to every process that reads."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.data.generators import seed_item, unchanged_generators
from thalweg.readings import Reading

GENERATORS = (np.random.Generator, np.random.RandomState, random.Random, torch.Generator)
DEEP, MOST = 5, 64  # attributes of attributes, and entries of a list of transforms
Path = tuple[tuple[str, Any], ...]


def own_generators(holder: Any, path: Path = ()) -> Iterator[Path]:
    """Where a Dataset, its transforms or the Dataset inside of it keep random generators: attributes and entries."""
    if isinstance(holder, GENERATORS):
        yield path
    elif len(path) < DEEP:
        for step, value in inside(holder):
            yield from own_generators(value, (*path, step))


def inside(holder: Any) -> list[tuple[tuple[str, Any], Any]]:
    if isinstance(holder, list | tuple) and len(holder) <= MOST:
        return [(("entry", k), value) for k, value in enumerate(holder) if not is_plain(value)]
    if isinstance(holder, dict) and len(holder) <= MOST:
        return [(("entry", k), value) for k, value in holder.items() if not is_plain(value)]
    if is_plain(holder) or isinstance(holder, type | list | tuple | dict):
        return []
    return [(("attribute", k), value) for k, value in getattr(holder, "__dict__", {}).items() if not is_plain(value)]


def is_plain(value: Any) -> bool:
    return value is None or isinstance(value, Tensor | np.ndarray | str | bytes | bytearray | int | float | range)


def name_of(path: Path) -> str:
    """`"transform.rng"`; what wraps a Dataset is left out.

    >>> name_of((("attribute", "_dataset"), ("attribute", "transforms"), ("entry", 0), ("attribute", "rng")))
    'transforms[0].rng'
    """
    text = "".join(f".{key}" if kind == "attribute" else f"[{key}]" for kind, key in path if key != "_dataset")
    return text.removeprefix(".")


def with_copies(holder: Any, path: Path) -> Any:
    """The holder with the generator at this path copied; everything else is shared."""
    if not path:
        return copied(holder)
    (kind, key), rest = path[0], path[1:]
    if isinstance(holder, tuple):
        return tuple(with_copies(value, rest) if k == key else value for k, value in enumerate(holder))
    changed = copy.copy(holder)
    if kind == "attribute":
        object.__setattr__(changed, key, with_copies(getattr(holder, key), rest))
    else:
        changed[key] = with_copies(holder[key], rest)
    return changed


def copied(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        other = torch.Generator(generator.device)
        other.set_state(generator.get_state())
        return other
    return copy.deepcopy(generator)


def repeated_noise(dataset: Any, row: int, *, workers: int) -> list[Reading]:
    """`noise.repeated`: whether copies of a Dataset, as processes have them, draw the same noise.

    1 where an item of two copies is equal bit by bit, and read once more from one of them is another: its noise comes
    from a generator that every copy begins with in the same state. The global generators are seeded alike. Its place
    is where the generator is kept, its count the number of processes. Nothing where no generator is kept.

    Args:
        dataset: map-style; neither it nor its generators move.
        row: an item to read.
        workers: processes that read it.

    >>> class Noisy:
    ...     def __init__(self):
    ...         self.rng = np.random.default_rng(0)
    ...     def __getitem__(self, row):
    ...         return self.rng.normal(size=3)
    >>> [(reading.value, reading.place) for reading in repeated_noise(Noisy(), 0, workers=2)]
    [(1.0, 'rng')]
    """
    paths = list(own_generators(dataset))
    if not paths or workers < 1:
        return []

    def copy_of_all() -> Any:
        changed = dataset
        for path in paths:
            changed = with_copies(changed, path)
        return changed

    def read(given: Any) -> Any:
        seed_item(0, 0, row)
        return given[row]

    with unchanged_generators():
        try:
            one, other = copy_of_all(), copy_of_all()
            first, second, elsewhere = read(one), read(one), read(other)
        except Exception:  # a Dataset that cannot be copied so, or whose items are read otherwise
            return []
    repeats = same(first, elsewhere) and not same(first, second)
    return [Reading("noise.repeated", float(repeats), name_of(paths[0]), count=workers)]


def same(one: Any, other: Any) -> bool:
    """Whether two items are equal bit by bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor | np.ndarray):
        return one.shape == other.shape and bool((one == other).all())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)

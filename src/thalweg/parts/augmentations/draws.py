"""Uniform numbers as a function of (seed, epoch, sample id), drawn on the host in exact integer arithmetic."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Words = NDArray[np.uint64]

GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, the increment of splitmix64
MASK = 2**64 - 1
BLOCK = 2**15  # words at once: several passes over them find them in the cache
AUGMENT = 7  # the purpose, so that these numbers have nothing in common with the order or the noise of the same seed


def scramble(state: Words) -> Words:
    """A bijection of 64 bits in which every bit of the argument flips every other with probability 1/2."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def words(ids: Integers, *, seed: int, epoch: int, count: int, first: int = 0) -> Words:
    """`[count, B]` integers of 64 bits, each a function of its sample's id, seed, epoch and its own number.

    Each of the four goes through one round of splitmix64, which wraps around at 2**64 on every machine alike.

    >>> words(np.array([3, 7]), seed=0, epoch=0, count=1) == words(np.array([7, 3]), seed=0, epoch=0, count=1)[:, ::-1]
    array([[ True,  True]])

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
    """
    state = np.zeros(1, np.uint64)
    for place in (AUGMENT, seed, epoch):
        state = scramble((state + np.uint64(GOLDEN)) ^ np.uint64(place & MASK))
    state = scramble((state + np.uint64(GOLDEN)) ^ ids.astype(np.uint64))
    numbers = np.arange(first + 1, first + count + 1, dtype=np.uint64)[:, None] * np.uint64(GOLDEN)
    return scramble(state + numbers)


def uniforms(drawn: Words) -> Floats:
    """Numbers from 0 to below 1 with 53 bits each."""
    return (drawn >> np.uint64(11)).astype(np.float64) * 2.0**-53


def between(u: Floats, low: float, high: float) -> Floats:
    """Uniform from low to high."""
    return low + (high - low) * u


def integers(u: Floats, count: int) -> Floats:
    """Whole numbers 0, …, count − 1, as floats; none is more likely than another by more than 2⁻⁵³ · count."""
    return np.floor(u * count)


def seeds(u: Floats) -> Integers:
    """The 53 bits of each uniform number as an integer, of which `spread` and `normals` make as many as needed."""
    return (u * 2.0**53).astype(np.int64)


def spread(seed: Integers, count: int) -> Words:
    """`[B, count]` integers of 64 bits, those that splitmix64 gives from each seed.

    They depend on the sample's own seed alone, and the first ones not on how many there are.

    >>> bool((spread(np.array([5, 8]), 3)[1:] == spread(np.array([8]), 9)[:, :3]).all())
    True
    """
    state = scramble(seed.astype(np.uint64) + np.uint64(GOLDEN))
    numbers = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    found = np.empty((len(seed), count), np.uint64)
    rows = max(1, BLOCK // max(count, 1))
    for start in range(0, len(seed), rows):
        found[start : start + rows] = scramble(state[start : start + rows, None] + numbers)
    return found


def normals(seed: Integers, count: int) -> NDArray[np.float32]:
    """`[B, count]` standard normal numbers, two of each word: r cos a and r sin a with r² = −2 ln u and a uniform.

    The largest possible one is √(82 ln 2) = 7.5, as u has 40 bits.

    Source: Box and Muller, "A note on the generation of random normal deviates" (1958).
    """
    half = (count + 1) // 2
    found = np.empty((len(seed), 2 * half), np.float32)
    rows = max(1, BLOCK // max(half, 1))
    for start in range(0, len(seed), rows):
        drawn = spread(seed[start : start + rows], half)
        share = ((drawn >> np.uint64(24)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-40)
        radius = np.sqrt(np.float32(-2) * np.log(share))
        angle = (drawn & np.uint64(2**24 - 1)).astype(np.float32) * np.float32(2 * np.pi * 2.0**-24)
        found[start : start + rows, :half] = radius * np.cos(angle)
        found[start : start + rows, half:] = radius * np.sin(angle)
    return found[:, :count]

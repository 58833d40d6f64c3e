import itertools

import numpy as np
import pytest

from thalweg.data.seeds import mix


def test_neighbors_never_collide() -> None:
    seeds = {mix(seed, epoch, row) for seed in range(20) for epoch in range(50) for row in range(200)}
    assert len(seeds) == 20 * 50 * 200


def test_order_number_and_sign_of_the_integers_count() -> None:
    tuples = [t for size in range(1, 5) for t in itertools.product((-1, 0, 1), repeat=size)]
    assert len({mix(*t) for t in tuples}) == len(tuples)


def test_the_lower_half_collides_no_more_than_chance() -> None:
    # PyTorch's CPU generator reads 32 bits: of 2**16 draws 2**32 / 2**33 = 0.5 pairs are expected to collide.
    low = [mix(7, epoch) & 0xFFFFFFFF for epoch in range(2**16)]
    assert len(low) - len(set(low)) <= 4


@pytest.mark.parametrize("place", [0, 1])
def test_each_input_bit_flips_half_of_the_output_bits(place: int) -> None:
    flips = np.zeros(64)
    trials = 0
    for base in range(200):
        for bit in range(64):
            values = [base, 3 * base]
            before = mix(*values)
            values[place] ^= 1 << bit
            flips += [(before ^ mix(*values)) >> k & 1 for k in range(64)]
            trials += 1
    # 12,800 trials per output bit: the standard deviation of the share is 0.0044.
    assert np.abs(flips / trials - 0.5).max() < 0.025


def test_output_bits_are_balanced_for_small_integers() -> None:
    bits = np.array([[mix(1, n) >> k & 1 for k in range(64)] for n in range(10_000)])
    assert np.abs(bits.mean(0) - 0.5).max() < 0.025  # five standard deviations of 0.005

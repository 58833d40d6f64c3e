"""Seeds that are made from integers, so that no random state has to be kept.

Whatever is random here is a function of the run's seed and of a place (epoch, step, sample). The first integer names
the purpose, so that the order of epoch 3 and the noise of step 3 have nothing in common.
"""

SPLIT, ORDER, SAMPLE, NOISE, INIT, PROBE = range(1, 7)

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, the increment of splitmix64


def mix(*integers: int) -> int:
    """One well-mixed seed of 64 bits from any number of integers; their order and their number count.

    Each integer goes through one round of splitmix64: a bijection of 64 bits in which every input bit flips every
    output bit with probability 1/2. Neighboring seeds, epochs and ids therefore give unrelated generators. PyTorch's
    CPU generator reads the lower 32 bits only, which are as well mixed as the upper ones.

    Args:
        integers: any integers; each is taken modulo 2**64.

    >>> mix(ORDER, 0, 1)
    2322739030055082020
    >>> mix(1, 2) == mix(2, 1), 0 <= mix(-1) < 2**64
    (False, True)

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
    """
    state = len(integers)
    for value in integers:
        state = ((state + _GOLDEN) ^ value) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state
